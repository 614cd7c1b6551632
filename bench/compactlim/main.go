// compactlim measures what compaction does and what it costs:
//
//	-mode year        a year of offset commits: size of __consumer_offsets and time of a start, before and after compaction
//	-mode pass        one pass over one log: MB/s, keys/s, memory
//	-mode foreground  produce throughput and latency with the cleaner off and at work, by turns
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/millrace/millrace/bench/internal/proc"
	"github.com/millrace/millrace/bench/internal/rep"
)

// settings are the flags.
type settings struct {
	binary, dir, addr, http  string
	runs, groups, partitions int
	every                    time.Duration
	days, scale              float64
	segmentBytes             int64
	megabytes, keys          int
	mapBytes                 int64
	duration                 time.Duration
}

func main() {
	var s settings
	mode := flag.String("mode", "year", "year, pass or foreground")
	flag.StringVar(&s.binary, "binary", "bin/millrace", "the broker")
	flag.StringVar(&s.dir, "dir", "", "an empty directory for data; it is deleted in the end")
	flag.StringVar(&s.addr, "addr", "127.0.0.1:19097", "where the broker listens")
	flag.StringVar(&s.http, "http", "127.0.0.1:19096", "and where for HTTP")
	flag.IntVar(&s.runs, "n", 5, "starts, passes or turns")
	flag.IntVar(&s.groups, "groups", 10, "year: groups")
	flag.IntVar(&s.partitions, "partitions", 100, "year: partitions that each group commits at once")
	flag.DurationVar(&s.every, "every", 5*time.Second, "year: between two commits of a group")
	flag.Float64Var(&s.days, "days", 365, "year: how long")
	flag.Float64Var(&s.scale, "scale", 0.05, "year: the part of it that is written")
	flag.Int64Var(&s.segmentBytes, "segment", 16<<20, "year: segment.bytes, as the broker creates the topic; only full segments are compacted, so less for a small scale")
	flag.IntVar(&s.megabytes, "mb", 1024, "pass, foreground: data before compaction")
	flag.IntVar(&s.keys, "keys", 1000000, "pass, foreground: different keys")
	flag.Int64Var(&s.mapBytes, "map", 128<<20, "pass: memory for keys")
	flag.DurationVar(&s.duration, "d", 10*time.Second, "foreground: a turn")
	flag.Parse()
	if s.dir == "" {
		fmt.Fprintln(os.Stderr, "compactlim: -dir is missing: an empty directory")
		os.Exit(2)
	}
	rep.Must(os.MkdirAll(s.dir, 0o755))
	defer os.RemoveAll(s.dir)
	rep.Header()
	switch *mode {
	case "year":
		year(&s)
	case "pass":
		pass(&s)
	case "foreground":
		foreground(&s)
	default:
		rep.Must(fmt.Errorf("no mode %q: year, pass or foreground", *mode))
	}
}

// broker is a running millrace.
type broker struct{ command *exec.Cmd }

// start runs the broker on the data directory and returns how long its first answer took.
func (s *settings) start(more ...string) (*broker, time.Duration) {
	words := append([]string{"serve", "--data-dir", filepath.Join(s.dir, "data"), "--listen", s.addr, "--http", s.http}, more...)
	b := &broker{exec.Command(s.binary, words...)}
	begin := time.Now()
	rep.Must(b.command.Start())
	rep.Must(firstAnswer(s.addr, begin.Add(10*time.Minute)))
	return b, time.Since(begin)
}

func (b *broker) stop() {
	rep.Must(b.command.Process.Signal(syscall.SIGTERM))
	rep.Must(b.command.Wait())
}

func (b *broker) memory() (now, peak float64) { return proc.Mem(b.command.Process.Pid) }

// megabytesIn is the size of all files of the partitions that match.
func (s *settings) megabytesIn(pattern string) (sum float64) {
	names, err := filepath.Glob(filepath.Join(s.dir, "data", pattern, "*"))
	rep.Must(err)
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			sum += float64(info.Size()) / 1e6
		}
	}
	return sum
}
