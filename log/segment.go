package log

import (
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/disk"
)

// segment is one data file and its indexes. All but the last segment of a log are sealed: they never change again.
//
// It lives in the list of the log and in the Ranges that were read from it. The file is opened when needed and closed
// when nobody but the list is left, so that idle segments cost no descriptor; it stays open while the segment is
// active. A deleted segment stays readable to whoever holds a Range of it.
type segment struct {
	base int64
	fsys disk.FS
	dir  string

	size       atomic.Int64 // valid bytes: what lies beyond in the file is none of ours
	references atomic.Int64 // the list's own is 1; 0: gone
	indexes    atomic.Pointer[indexes]

	mu struct {
		sync.Mutex
		file     disk.File // nil: not opened yet
		writable bool
		retired  bool // out of the list
		swap     bool // the file has its name only once a compaction is finished
	}
	loading    sync.Mutex // held while the indexes are loaded; taken before mu
	boundaries boundaries
	gaps       gaps
	aborted    abortedList
}

// indexes are the hints of one segment. The owner of an active segment appends to them.
type indexes struct {
	offsets *table[offsetEntry]
	times   *table[timeEntry]

	// The largest timestamp of the segment and the last offset of the first batch that has it; -1: none.
	// Owned by the writer while the segment is active, final afterwards.
	maxTimestamp atomic.Int64
	maxOffset    atomic.Int64
}

func newIndexes(offsets []offsetEntry, times []timeEntry) *indexes {
	x := &indexes{offsets: newTable(offsets), times: newTable(times)}
	x.maxTimestamp.Store(-1)
	x.maxOffset.Store(-1)
	return x
}

func newSegment(fsys disk.FS, dir string, base, size int64) *segment {
	s := &segment{base: base, fsys: fsys, dir: dir}
	s.size.Store(size)
	s.references.Store(1)
	s.boundaries.mu.end = boundary{offset: base}
	s.gaps.mu.known = boundary{offset: base}
	return s
}

func (s *segment) path(suffix string) string { return path(s.dir, s.base, suffix) }

// dataPath is where the batches lie now.
func (s *segment) dataPath() string {
	if s.mu.swap {
		return s.path(logSuffix + swapSuffix)
	}
	return s.path(logSuffix)
}

// acquire keeps the segment's file open until release. It fails when the segment is gone.
func (s *segment) acquire() bool {
	for {
		n := s.references.Load()
		if n == 0 {
			return false
		}
		if s.references.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release undoes one acquire.
func (s *segment) release() error {
	if s.references.Add(-1) > 1 {
		return nil
	}
	return s.closeIdle()
}

// retire gives up the list's reference.
func (s *segment) retire() error {
	s.mu.Lock()
	s.mu.retired, s.mu.writable = true, false
	s.mu.Unlock()
	return s.release()
}

// closeIdle closes the file if nobody can be using it: whoever does holds a reference besides the list's, or is the
// writer of an active segment.
func (s *segment) closeIdle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := s.references.Load()
	if !s.mu.retired {
		users--
	}
	if s.mu.file == nil || users > 0 || s.mu.writable {
		return nil
	}
	err := s.mu.file.Close()
	s.mu.file = nil
	return err
}

// open returns the data file, opened on first use. The caller holds a reference.
func (s *segment) open() (disk.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.file != nil {
		return s.mu.file, nil
	}
	open := s.fsys.Open
	if s.mu.writable {
		open = s.fsys.OpenWrite
	}
	file, err := open(s.dataPath())
	if err != nil {
		return nil, err
	}
	s.mu.file = file
	return file, nil
}

// setFile makes file the data file. One that was open before is the caller's.
func (s *segment) setFile(file disk.File) {
	s.mu.Lock()
	s.mu.file = file
	s.mu.Unlock()
}

// setWritable makes open open the file for writing, and keep it open, or not any more. It has no effect on a file that
// is open already.
func (s *segment) setWritable(writable bool) {
	s.mu.Lock()
	s.mu.writable = writable
	s.mu.Unlock()
}

// boundaries remembers some batch boundaries of a segment that were found lately: the ends of reads, of syncs and of
// the log. The next read usually begins or ends at one of them.
type boundaries struct {
	mu struct {
		sync.Mutex
		ring [boundariesMax]boundary
		next int
		used int
		end  boundary // of the last append; before the first, the beginning
	}
}

const boundariesMax = 8

type boundary struct {
	offset   int64 // of the batch that begins here
	position int64
}

func (b *boundaries) add(offset, position int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.mu.used {
		if b.mu.ring[i].offset == offset {
			return
		}
	}
	b.mu.ring[b.mu.next] = boundary{offset, position}
	b.mu.next = (b.mu.next + 1) % boundariesMax
	b.mu.used = min(b.mu.used+1, boundariesMax)
}

func (b *boundaries) setEnd(offset, position int64) {
	b.mu.Lock()
	b.mu.end = boundary{offset, position}
	b.mu.Unlock()
}

func (b *boundaries) find(offset int64) (position int64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.end.offset == offset {
		return b.mu.end.position, true
	}
	for _, known := range b.mu.ring[:b.mu.used] {
		if known.offset == offset {
			return known.position, true
		}
	}
	return 0, false
}

// segmentList is the segments of a log, ascending, never empty. It is never changed, only replaced.
type segmentList []*segment

// find returns the place in the list of the segment that has the offset, -1 if it lies before the first.
func (l segmentList) find(offset int64) int {
	low, high := 0, len(l)
	for low < high {
		middle := (low + high) / 2
		if l[middle].base <= offset {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low - 1
}

func (l segmentList) active() *segment { return l[len(l)-1] }

func (l segmentList) bytes() int64 {
	var sum int64
	for _, s := range l {
		sum += s.size.Load()
	}
	return sum
}
