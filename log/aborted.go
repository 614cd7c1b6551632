package log

import (
	"fmt"
	"slices"
	"sync"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// abortedEntry is an aborted transaction whose marker lies in a segment.
type abortedEntry struct {
	AbortedTransaction
	lastStable int64 // where the first transaction began that was open when it was decided; without one, after the marker
}

// abortedList is the aborted transactions of one segment, in the order of their markers. The writer adds to that of the active
// segment, which is known before it writes; others are found out when they are asked for.
type abortedList struct {
	sync.Mutex
	known   bool
	entries []abortedEntry
}

func (a *abortedList) add(e abortedEntry) {
	a.Lock()
	a.entries = append(a.entries, e)
	a.Unlock()
}

// load returns the entries, by find if they are not known.
func (a *abortedList) load(find func() ([]abortedEntry, error)) ([]abortedEntry, error) {
	a.Lock()
	defer a.Unlock()
	if !a.known {
		entries, err := find()
		if err != nil {
			return nil, err
		}
		a.known, a.entries = true, entries
	}
	return slices.Clip(a.entries), nil
}

// abortedIn returns the aborted transactions of a segment of the list.
func (l *Log) abortedIn(s *segment) ([]abortedEntry, error) {
	l.mu.Lock()
	d := l.directoryLocked()
	l.mu.Unlock()
	return s.aborted.load(l.foldAborted(s, d))
}

// directoryLocked is what a listing of the directory would say of segments and producer snapshots.
func (l *Log) directoryLocked() *directory {
	return &directory{segments: *l.segments.Load(), snapshots: slices.Clone(l.mu.snapshots), kafkaSnapshots: slices.Clone(l.mu.kafkaSnapshots)}
}

// foldAborted finds the aborted transactions of a segment in its batches.
func (l *Log) foldAborted(s *segment, d *directory) func() ([]abortedEntry, error) {
	return func() (entries []abortedEntry, err error) {
		for _, s := range d.segments {
			if s.acquire() {
				defer s.release()
			}
		}
		p, err := loadProducers(l.fsys, l.dir, d, s.base, 0, l.logger)
		if err != nil {
			return nil, err
		}
		file, err := s.open()
		if err != nil {
			return nil, err
		}
		err = walkNoted(file, s.size.Load(), func(b record.Batch) bool {
			if aborted, ok := p.apply(b, 0); ok {
				entries = append(entries, aborted)
			}
			return true
		})
		return entries, err
	}
}

// walkNoted calls visit for every batch in the first size bytes of the file, until it returns false: control batches as a
// whole, of others the header. A marker that cannot be read is damage: nobody could say what became of its transaction.
func walkNoted(file disk.File, size int64, visit func(b record.Batch) bool) error {
	var wrong error
	err := walkHeaders(file, 0, size, func(header headerView, position, batchSize int64) bool {
		b := header
		if header.IsControl() && header.ProducerID() >= 0 && header.Count() > 0 {
			b = make(record.Batch, batchSize)
			if n, err := file.ReadAt(b, position); n < len(b) {
				wrong = fmt.Errorf("read %s at %d: %w", file.Name(), position, err)
			} else if err := checkMarkerReadable(b); err != nil {
				wrong = &CorruptError{Path: file.Name(), Position: position, Err: err}
			}
		}
		return wrong == nil && visit(b)
	})
	if err != nil {
		return err
	}
	return wrong
}
