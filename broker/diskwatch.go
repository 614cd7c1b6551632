package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/disk"
)

// diskWatch watches the room on the disk of the data directory, and refuses clients' records before there is none at
// all: what the broker needs in order to delete, to commit offsets and to stop in order must always fit. One goroutine;
// stop waits for it. Its other methods are safe for concurrent use.
type diskWatch struct {
	worker

	fs     disk.FS
	dir    string
	marks  diskMarks
	logger *slog.Logger
	// tidyUp asks for a round of retention, and does not wait for it.
	tidyUp func()

	refusal   atomic.Pointer[diskFullError] // nil: records are taken
	leftBytes atomic.Int64                  // may be appended before the room has to be looked at again

	mu struct { // held while the room is looked at
		sync.Mutex
		state    diskState
		usage    disk.Usage
		unknown  bool // the last look failed
		loggedMs [diskReadOnly + 1]int64
	}
}

const (
	// diskWatchEvery is the time between two looks at most. There is another one whenever half of the way to the next
	// mark is appended: only half, because a batch takes more room than its bytes.
	diskWatchEvery = time.Second
	// diskUnknownBytes may be appended between two looks that fail.
	diskUnknownBytes = 64 << 20
	// diskLogEveryMs is the least time between two lines that say the same.
	diskLogEveryMs = 60_000
)

// errDiskFull means that a disk is too full for clients' records. Nothing was written.
var errDiskFull = errors.New("disk is nearly full")

// diskFullError is errDiskFull with what to do about it.
type diskFullError struct {
	dir                  string
	freeBytes, markBytes int64
}

func (e *diskFullError) Error() string {
	return fmt.Sprintf("%v: %d bytes are free for %s, less than %d (millrace.disk.full.bytes, millrace.disk.full.percent): "+
		"delete topics or records, shorten retention, or add room; records are taken again once %d bytes are free",
		errDiskFull, e.freeBytes, e.dir, e.markBytes, resumeBytes(e.markBytes))
}

// Unwrap returns errDiskFull.
func (e *diskFullError) Unwrap() error { return errDiskFull }

// newDiskWatch returns a watch that has looked once. b.maintainer must be set.
func newDiskWatch(b *Broker) *diskWatch {
	d := &diskWatch{
		fs:     b.options.fileSystem,
		dir:    b.options.DataDir,
		marks:  diskMarksOf(b.config),
		logger: b.logger,
		tidyUp: b.maintainer.maintainSoon,
	}
	d.look(time.Now())
	return d
}

func (d *diskWatch) start() {
	d.worker.start(d.run)
}

func (d *diskWatch) run(ctx context.Context) {
	ticker := time.NewTicker(diskWatchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			d.look(now)
		}
	}
}

// admit is asked before so many bytes of a client are appended. The error says why not; nothing may be appended then.
func (d *diskWatch) admit(bytes int) error {
	if d.refusal.Load() == nil && d.leftBytes.Add(-int64(bytes)) < 0 {
		d.look(time.Now())
	}
	if refusal := d.refusal.Load(); refusal != nil {
		return refusal
	}
	return nil
}

// spare is asked before so many bytes are written that make room in the end, as compaction does. They may take half of what is kept
// for the broker's own small writes. The error says why not.
func (d *diskWatch) spare(bytes int) error {
	d.look(time.Now())
	_, usage := d.status()
	mark := d.marks.full.of(usage.TotalBytes)
	if mark > 0 && usage.FreeBytes-int64(bytes) < mark/2 {
		return &diskFullError{dir: d.dir, freeBytes: usage.FreeBytes, markBytes: mark}
	}
	return nil
}

// status returns the state and the room of the latest look that succeeded. Before that the room is zero.
func (d *diskWatch) status() (diskState, disk.Usage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.state, d.mu.usage
}

// note says in words that there is little room, and nothing if there is enough. A read-only disk does not make the
// broker unready: consumers read on, and who makes room has to reach it.
func (d *diskWatch) note() string {
	if refusal := d.refusal.Load(); refusal != nil {
		return "read-only: " + refusal.Error()
	}
	if state, usage := d.status(); state == diskLow {
		return fmt.Sprintf("low: %d of %d bytes are free", usage.FreeBytes, usage.TotalBytes)
	}
	return ""
}

// look asks the file system how much room there is, and acts on it.
func (d *diskWatch) look(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	usage, err := d.fs.Usage(d.dir)
	if err != nil {
		d.leftBytes.Store(diskUnknownBytes)
		if !d.mu.unknown {
			d.logger.Warn("room on the disk is not known", "dir", d.dir, "err", err)
		}
		d.mu.unknown = true
		return
	}
	before, after := d.mu.state, d.marks.next(d.mu.state, usage)
	d.mu.state, d.mu.usage, d.mu.unknown = after, usage, false
	d.leftBytes.Store(d.marks.headroom(after, usage) / 2)
	if after == diskReadOnly {
		d.refusal.Store(&diskFullError{dir: d.dir, freeBytes: usage.FreeBytes, markBytes: d.marks.full.of(usage.TotalBytes)})
	} else {
		d.refusal.Store(nil)
	}
	if after == before {
		return
	}
	d.logLocked(now.UnixMilli())
	if after > before {
		d.tidyUp()
	}
}

// logLocked tells of a new state, unless it was told of a moment ago.
func (d *diskWatch) logLocked(nowMs int64) {
	state, usage := d.mu.state, d.mu.usage
	if last := d.mu.loggedMs[state]; last != 0 && nowMs-last < diskLogEveryMs && nowMs >= last {
		return
	}
	d.mu.loggedMs[state] = nowMs
	facts := []any{"dir", d.dir, "free_bytes", usage.FreeBytes, "total_bytes", usage.TotalBytes}
	switch state {
	case diskReadOnly:
		d.logger.Error("disk is nearly full: clients' records are refused until there is room; delete topics or records, "+
			"shorten retention, or add room", append(facts, "resume_at_bytes", resumeBytes(d.marks.full.of(usage.TotalBytes)))...)
	case diskLow:
		d.logger.Warn("disk is low on room: records will be refused when it is nearly full",
			append(facts, "refused_below_bytes", d.marks.full.of(usage.TotalBytes))...)
	default:
		d.logger.Info("disk has room again", facts...)
	}
}
