package streamstest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kerr"
)

// fault is what is to go wrong when a process comes to a point.
type fault struct {
	point Point
	kind  faultKind
	left  int // times that a process comes there before
}

type faultKind int

const (
	crashes       faultKind = iota // the process is gone
	aborts                         // the transaction cannot go on
	answerIsLost                   // the transaction is committed, the process does not hear of it
	requestIsLost                  // it is not, and the process does not know
	freezes                        // the process stands still
)

// crashed is the error of a process that is gone.
type crashed struct {
	point Point
	disk  *vfs.MemFS // what the crash left; nil: not known yet
}

func (c *crashed) Error() string { return fmt.Sprintf("crash: %v", c.point) }

// errAborted is that of one that has to begin again from what is committed.
var errAborted = errors.New("the transaction was aborted")

// CrashAt makes a process crash the n-th time from now on that any process comes to the point; 1 is the next time. The process
// loses its memory, and its disk what was not synced, or some of it. It starts again with the next call that needs it: a Drain
// that meets the crash goes on behind it.
func (d *Driver) CrashAt(point Point, n int) {
	d.t.Helper()
	d.fault(point, crashes, n)
}

// AbortAt makes a transaction fail the n-th time that a process comes to the point, which is one up to OffsetsSent, as when the
// coordinator has lost patience. The process begins again from what is committed.
func (d *Driver) AbortAt(point Point, n int) {
	d.t.Helper()
	if point > OffsetsSent {
		d.t.Fatalf("abort at %q: the transaction is committed by then", point)
	}
	d.fault(point, aborts, n)
}

// LoseAnswer makes the n-th request from now on to commit a transaction end without an answer. If committed, the broker has carried
// it out all the same. The process has to find out.
func (d *Driver) LoseAnswer(committed bool, n int) {
	d.t.Helper()
	kind := requestIsLost
	if committed {
		kind = answerIsLost
	}
	d.fault(OffsetsSent, kind, n)
}

func (d *Driver) fault(point Point, kind faultKind, n int) {
	d.t.Helper()
	if n < 1 {
		d.t.Fatalf("a fault at the %d-th %q: 1 is the next", n, point)
	}
	if point == Flushing {
		for _, p := range d.processes {
			p.disk.arm(n)
		}
		return
	}
	d.faults = append(d.faults, &fault{point: point, kind: kind, left: n})
}

// Faults returns how many of the faults that were asked for have happened so far. A test that asks for one checks that it came to it.
func (d *Driver) Faults() int { return d.happened }

// Crash lets all processes crash now. They start again with the next call that needs them.
func (d *Driver) Crash() {
	for _, p := range d.processes {
		p.crash(nil)
	}
}

// LoseDisks takes all state of all processes away, as when they come up on other machines. They crash before that.
func (d *Driver) LoseDisks() {
	d.Crash()
	for _, p := range d.processes {
		p.replaceDisk(vfs.NewCrashableMem())
	}
}

// FailDisks makes all writes to the disks of all processes fail with err, such as syscall.ENOSPC; nil: they work again.
func (d *Driver) FailDisks(err error) {
	for _, p := range d.processes {
		p.disk.fail(err)
	}
}

// reach is called where a process comes to a point. Its error is what was asked for.
func (p *process) reach(point Point) error {
	if picture := p.disk.taken(); picture != nil {
		p.driver.happened++
		return &crashed{Flushing, picture}
	}
	switch p.fault(point, crashes, aborts, freezes) {
	case crashes:
		return &crashed{point: point}
	case aborts:
		return errAborted
	case freezes:
		if p.driver.live() > 1 {
			return errFrozen
		}
	}
	return nil
}

const none faultKind = -1

// fault returns the first of the kinds that is due at a point, and forgets it.
func (p *process) fault(point Point, kinds ...faultKind) faultKind {
	d := p.driver
	due := none
	d.faults = slices.DeleteFunc(d.faults, func(f *fault) bool {
		if f.point != point || !slices.Contains(kinds, f.kind) {
			return false
		}
		f.left--
		if f.left == 0 && due == none {
			due = f.kind
			d.happened++
		}
		return f.left <= 0
	})
	return due
}

// crash drops the process. left is its disk after that; nil: as it is now.
func (p *process) crash(left *vfs.MemFS) {
	if left == nil {
		left = p.disk.crash()
	}
	p.producer = nil // what it has open stays open until it comes back
	_ = p.stop()     // on a disk that nobody sees again
	p.replaceDisk(left)
}

// replaceDisk puts other files in place of the process's own. A disk that fails goes on failing.
func (p *process) replaceDisk(files *vfs.MemFS) {
	err := p.disk.failure()
	p.disk = p.driver.newDisk(files)
	p.disk.fail(err)
}

// lost says whether an error means that another process has taken over.
func lost(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.IllegalGeneration)
}
