package log

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// abortedList is the aborted transactions of one segment, in the order of their markers. That of the active segment is known
// before anything is written, and the writer adds to it; others are read when somebody asks.
type abortedList struct {
	mu struct {
		sync.Mutex
		known   bool
		entries []abortedEntry
	}
}

func (a *abortedList) set(entries []abortedEntry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.known, a.mu.entries = true, entries
}

func (a *abortedList) add(e abortedEntry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.entries = append(a.mu.entries, e)
}

// get returns what is known. The caller must not change it.
func (a *abortedList) get() (entries []abortedEntry, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clip(a.mu.entries), a.mu.known
}

// load returns the entries, by find if they are not known.
func (a *abortedList) load(find func() ([]abortedEntry, error)) ([]abortedEntry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.mu.known {
		entries, err := find()
		if err != nil {
			return nil, err
		}
		a.mu.known, a.mu.entries = true, entries
	}
	return slices.Clip(a.mu.entries), nil
}

// abortedIn returns the aborted transactions of a segment of the list.
func (l *Log) abortedIn(s *segment) ([]abortedEntry, error) {
	if entries, known := s.aborted.get(); known {
		return entries, nil
	}
	l.mu.Lock()
	f := l.finderLocked()
	l.mu.Unlock()
	return s.aborted.load(func() ([]abortedEntry, error) { return f.find(s) })
}

// finderLocked finds the aborted transactions of the log's segments as they are now.
func (l *Log) finderLocked() abortedFinder {
	return abortedFinder{fsys: l.fsys, dir: l.dir, directory: l.directoryLocked(), end: l.logEnd.Load(), logger: l.logger}
}

// directoryLocked is what a listing of the directory would say of segments and producer snapshots.
func (l *Log) directoryLocked() *directory {
	return &directory{segments: *l.segments.Load(), snapshots: slices.Clone(l.mu.snapshots), kafkaSnapshots: slices.Clone(l.mu.kafkaSnapshots)}
}

// abortedFinder finds the aborted transactions of segments: in their .txnindex files, or in their batches.
type abortedFinder struct {
	fsys      disk.FS
	dir       string
	directory *directory
	end       int64 // of the log
	logger    *slog.Logger
}

// find returns those of one segment. Whoever asks knows that there may be some: a file that is missing has been removed.
func (f abortedFinder) find(s *segment) ([]abortedEntry, error) {
	data, err := disk.ReadFile(f.fsys, s.path(txnIndexSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(data) > 0 {
		entries, ok := parseAbortedEntries(data, s.base, f.endOf(s))
		if ok && s.hasMarker(entries) {
			return entries, nil
		}
		f.logger.Warn("transaction index passed over: the batches are read instead", "path", s.path(txnIndexSuffix))
	}
	return f.fold(s)
}

// endOf is the offset after the segment.
func (f abortedFinder) endOf(s *segment) int64 {
	list := segmentList(f.directory.segments)
	if next := list.find(s.base) + 1; next < len(list) {
		return list[next].base
	}
	return f.end
}

// hasMarker says whether the last entry names a marker of its producer.
func (s *segment) hasMarker(entries []abortedEntry) bool {
	if len(entries) == 0 {
		return true
	}
	last := entries[len(entries)-1]
	file, err := s.open()
	if err != nil {
		return false
	}
	found, err := s.locate(file, last.LastOffset, s.size.Load())
	if err != nil || found.position == s.size.Load() {
		return false
	}
	h := openHeaders(file)
	defer h.close()
	header, _, err := h.at(found.position, s.size.Load())
	return err == nil && header.BaseOffset() == last.LastOffset && header.IsControl() && header.ProducerID() == last.ProducerID
}

// fold finds them in the batches.
func (f abortedFinder) fold(s *segment) (entries []abortedEntry, err error) {
	for _, s := range f.directory.segments {
		if s.acquire() {
			defer s.release()
		}
	}
	before, err := loadProducers(f.fsys, f.dir, f.directory, s.base, 0, f.logger)
	if err != nil {
		return nil, err
	}
	file, err := s.open()
	if err != nil {
		return nil, err
	}
	err = walkNoted(file, s.size.Load(), func(b record.Batch) bool {
		if aborted, ok := before.producers.apply(b, 0); ok {
			entries = append(entries, aborted)
		}
		return true
	})
	return entries, err
}

// walkNoted calls visit for every batch in the first size bytes of the file, until it returns false: control batches as a
// whole, of others the header. A marker that cannot be read is damage: nobody could say what became of its transaction.
func walkNoted(file disk.File, size int64, visit func(b record.Batch) bool) error {
	var wrong error
	err := walkHeaders(file, 0, size, func(header headerView, position, batchSize int64) bool {
		b := header
		if header.IsControl() && header.ProducerID() >= 0 && header.Count() > 0 {
			b, wrong = readMarker(file, position, batchSize)
		}
		return wrong == nil && visit(b)
	})
	if err != nil {
		return err
	}
	return wrong
}

// readMarker returns the control batch of so many bytes at the position, whole and checked.
func readMarker(file disk.File, position, size int64) (record.Batch, error) {
	b := make(record.Batch, size)
	if n, err := file.ReadAt(b, position); n < len(b) {
		return nil, fmt.Errorf("read %s at %d: %w", file.Name(), position, err)
	}
	err := b.CheckCRC()
	if err == nil {
		err = checkMarkerReadable(b)
	}
	if err != nil {
		return nil, &CorruptError{Path: file.Name(), Position: position, Err: err}
	}
	return b, nil
}

// mayHaveAborted says whether there is anything to find.
func (s *segment) mayHaveAborted() bool {
	entries, known := s.aborted.get()
	return !known || len(entries) > 0
}
