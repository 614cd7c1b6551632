package main

import (
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// heapShare is the part of a container's memory that the Go runtime may take: the rest is for the page cache, which the
// container is charged for too, and the kernel's buffers.
const heapShare = 0.8

// limitMemory lets the garbage collector work harder before the container's memory limit is reached, unless GOMEMLIMIT
// says how much memory to take. The number of processors follows the container's limit by itself.
func limitMemory(logger *slog.Logger, root fs.FS) {
	limit, ok := containerMemory(root)
	if !ok {
		return
	}
	if given := os.Getenv("GOMEMLIMIT"); given != "" {
		logger.Info("memory", "container_bytes", limit, "GOMEMLIMIT", given, "processors", runtime.GOMAXPROCS(0))
		return
	}
	heap := int64(heapShare * float64(limit))
	debug.SetMemoryLimit(heap)
	logger.Info("memory", "container_bytes", limit, "go_limit_bytes", heap, "processors", runtime.GOMAXPROCS(0))
}

// containerMemory is the memory limit of the control group that this process is in, or of the nearest one above it
// that has one. ok is false if there is none.
func containerMemory(root fs.FS) (limit int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	limit = math.MaxInt64
	for line := range strings.Lines(string(groups)) {
		hierarchy, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		mount, file := "", ""
		switch {
		case hierarchy == "0":
			mount, file = "sys/fs/cgroup", "memory.max"
		case strings.Contains(","+controllers+",", ",memory,"):
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			limit = min(limit, groupMemory(root, path.Join(mount, group, file)))
			if group == "/" {
				break
			}
		}
	}
	return limit, limit < unlimitedMemory
}

// unlimitedMemory is more than any machine has: what older control groups say for "no limit" is above it.
const unlimitedMemory = 1 << 60

func groupMemory(root fs.FS, file string) int64 {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return math.MaxInt64
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return math.MaxInt64 // "max"
	}
	return limit
}
