package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/internal/disk"
)

// examineMachine looks at what a broker here would start with, or has started with.
func (f *doctorFlags) examineMachine(found *diagnosis, environ []string) {
	serve := serveFlags{file: f.file, dataDir: f.dataDir, http: defaultHTTP, logLevel: "info", shutdownTimeout: time.Second}
	plan, err := serve.plan(func(flag string) bool { return flag == "data-dir" && f.dataDir != "" }, environ)
	var configured *broker.Broker
	if err == nil {
		if configured, err = broker.New(plan.options); err != nil {
			err = plan.settings.Explain(err)
		}
	}
	if err != nil {
		found.problem("settings", "correct it; `millrace serve --check -c FILE` says whether that was all", "%s", strings.TrimPrefix(oneLine(err), "serve: "))
	} else {
		found.ok("settings", "valid")
	}
	examineDescriptors(found)
	dataDir := f.dataDir
	if plan != nil {
		dataDir = plan.options.DataDir
	}
	running := examineDirectory(found, disk.OS(), dataDir)
	if err == nil && !running {
		for _, l := range configured.Listeners() {
			examinePort(found, "listener "+l.Name, l.Address)
		}
		if plan.options.HTTP != "" {
			examinePort(found, "HTTP", plan.options.HTTP)
		}
	}
}

const (
	// descriptorsMin lets ten thousand partitions, two files each, and ten thousand clients be open.
	descriptorsMin = 32 << 10
	// freeBytesMin and freeShareMin: a segment of the default size has to fit, and then some.
	freeBytesMin = 2 << 30
	freeShareMin = 0.05
	// syncSlow is more than a disk that is fit for this takes to sync a page.
	syncSlow = 50 * time.Millisecond
	// syncTries is how often the disk is tried.
	syncTries = 20
	// lockFileName is the file of a data directory that its broker holds a lock on.
	lockFileName = ".lock"
	// examinedName is the file that tries the disk; it is removed again.
	examinedName = ".doctor"
)

func examineDescriptors(found *diagnosis) {
	limit, ok := descriptorLimit()
	switch {
	case !ok:
		found.unknown("descriptors", "this system does not tell how many files may be open")
	case limit < descriptorsMin:
		found.problem("descriptors", fmt.Sprintf("raise it: ulimit -Hn, or LimitNOFILE in the unit, to %d or more", descriptorsMin),
			"%d files may be open; each partition takes two, each client one", limit)
	default:
		found.ok("descriptors", "%d files may be open", limit)
	}
}

// examineDirectory reports whether a broker has the data directory, whose disk it tries.
func examineDirectory(found *diagnosis, files disk.FS, dir string) (running bool) {
	if dir == "" {
		return false
	}
	entry, err := files.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		found.unknown("directory", "%s does not exist yet: the first start makes it", dir)
		return false
	case err != nil:
		found.problem("directory", "let the user that runs the broker read it", "%s: %s", dir, oneLine(err))
		return false
	case !entry.IsDir:
		found.problem("directory", "name a directory with --data-dir", "%s is a file", dir)
		return false
	}
	if running = isLocked(files, filepath.Join(dir, lockFileName)); running {
		found.ok("directory", "%s: a broker is running on it", dir)
	} else {
		found.ok("directory", "%s: no broker is running on it", dir)
	}
	examineSpace(found, files, dir)
	examineSync(found, files, dir)
	return running
}

// isLocked reports whether a process holds the lock file name.
func isLocked(files disk.FS, name string) bool {
	if _, err := files.Stat(name); err != nil {
		return false
	}
	lock, err := files.Lock(name)
	if err == nil {
		_ = lock.Close() // nothing was done under it
	}
	return errors.Is(err, disk.ErrLocked)
}

func examineSpace(found *diagnosis, files disk.FS, dir string) {
	usage, err := files.Usage(dir)
	free := float64(usage.FreeBytes) / float64(max(usage.TotalBytes, 1))
	switch {
	case err != nil:
		found.unknown("space", "%s: %s", dir, oneLine(err))
	case usage.FreeBytes < freeBytesMin || free < freeShareMin:
		found.problem("space", "free some, or shorten log.retention.ms or log.retention.bytes", "%d MiB are free, %.0f%%", usage.FreeBytes>>20, 100*free)
	default:
		found.ok("space", "%d GiB are free, %.0f%%", usage.FreeBytes>>30, 100*free)
	}
}

// examineSync writes pages and syncs each, as a produce without company does.
func examineSync(found *diagnosis, files disk.FS, dir string) {
	median, err := syncTime(files, filepath.Join(dir, examinedName))
	switch {
	case err != nil:
		found.problem("disk", "let the user that runs the broker write there", "%s", oneLine(err))
	case median > syncSlow:
		found.problem("disk", "use a local SSD, not a network file system; or flush=interval for topics that may lose records",
			"a sync takes %v: each produce waits for one", median)
	default:
		found.ok("disk", "a sync takes %v", median)
	}
}

func syncTime(files disk.FS, name string) (median time.Duration, err error) {
	file, err := files.Create(name)
	if errors.Is(err, fs.ErrExist) { // of a doctor that was killed
		file, err = files.OpenWrite(name)
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), files.Remove(name)) }()
	page := make([]byte, 4096)
	took := make([]time.Duration, syncTries)
	for i := range took {
		begin := time.Now()
		if _, err := file.WriteAt(page, int64(i*len(page))); err != nil {
			return 0, err
		}
		if err := file.SyncData(); err != nil {
			return 0, err
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return took[syncTries/2].Round(time.Microsecond), nil
}

// examinePort looks whether something else has the port of what is called name.
func examinePort(found *diagnosis, name, address string) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		listener.Close()
		found.ok("port", "%s can listen on %s", name, address)
		return
	}
	var operation *net.OpError
	cause := err.Error()
	if errors.As(err, &operation) {
		cause = strings.TrimPrefix(operation.Err.Error(), "bind: ")
	}
	found.problem("port", "end what listens there, or choose another port", "%s cannot listen on %s: %s", name, address, cause)
}
