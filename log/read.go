package log

import (
	"fmt"
	"io"

	"github.com/millrace/millrace/internal/disk"
)

// Read returns where whole batches of one segment lie: the first one contains the offset from, all end at or before
// to, and together they have at most maxBytes bytes. With atLeastOne the first batch is returned even if it alone is
// larger. A nil Range means that there is nothing, because from is at or beyond to, or maxBytes is too small.
//
// The caller must Release the Range. It stays readable whatever retention deletes meanwhile; only Truncate takes bytes
// away from under it. ErrOutOfRange: from lies before the log start or beyond the log end. A *CorruptError says that
// the batches on the way cannot be. Read never waits for the writer, nor the writer for it.
func (l *Log) Read(from, to int64, maxBytes int, atLeastOne bool) (*Range, error) {
	if l.closed.Load() {
		return nil, ErrClosed
	}
	end := l.logEnd.Load()
	if start := l.logStart.Load(); from < start || from > end {
		return nil, fmt.Errorf("read from %d: %w: log has [%d, %d)", from, ErrOutOfRange, start, end)
	}
	to = min(to, end)
	for from < to {
		list := l.segments.Load()
		r, err := list.read(from, to, int64(maxBytes), atLeastOne)
		if list == l.segments.Load() {
			return r, err
		}
		// The list was replaced meanwhile: what was found may have been cut off, what failed may be elsewhere now.
		if r != nil {
			return r, nil
		}
		if l.closed.Load() {
			return nil, ErrClosed
		}
		if from < l.logStart.Load() {
			return nil, fmt.Errorf("read from %d: %w: log begins at %d", from, ErrOutOfRange, l.logStart.Load())
		}
	}
	return nil, nil
}

// read looks for the offset in its segment, and in the next one if the segment ends before it (compaction).
func (l segmentList) read(from, to, maxBytes int64, atLeastOne bool) (*Range, error) {
	for i := max(l.find(from), 0); i < len(l) && l[i].base < to; i++ {
		s := l[i]
		if !s.acquire() {
			return nil, ErrClosed
		}
		bound := to
		sealed := i+1 < len(l)
		if sealed {
			bound = min(to, l[i+1].base)
		}
		r, more, err := s.read(from, bound, sealed && bound == l[i+1].base, maxBytes, atLeastOne)
		if err == nil && r != nil {
			return r, nil
		}
		_ = s.release() // opened for reading only, or still held by the list
		if err != nil || !more {
			return nil, err
		}
	}
	return nil, nil
}

// read finds the batches of the segment from the one that contains from up to, and without, the one that contains to;
// whole says that to is the end of the segment. more is true if the segment has no batch at or after from.
// On success the Range takes over the caller's reference.
func (s *segment) read(from, to int64, whole bool, maxBytes int64, atLeastOne bool) (r *Range, more bool, err error) {
	file, err := s.open()
	if err != nil {
		return nil, false, err
	}
	size := s.size.Load()
	end := boundary{offset: to, position: size}
	if !whole {
		if end, err = s.locate(file, to, size); err != nil {
			return nil, false, err
		}
	}
	start, err := s.locate(file, from, size)
	if err != nil {
		return nil, false, err
	}
	if start.position >= end.position {
		return nil, start.position == size, nil
	}
	r = &Range{segment: s, file: file, position: start.position, size: int(end.position - start.position), nextOffset: end.offset}
	if int64(r.size) > maxBytes {
		if err := r.shorten(maxBytes, atLeastOne); err != nil || r.size == 0 {
			return nil, false, err
		}
	}
	r.file = rangeFile(file, r.position, r.position+int64(r.size))
	return r, false, nil
}

// shorten cuts r down to the batches within maxBytes, or to the first one, or to nothing.
func (r *Range) shorten(maxBytes int64, atLeastOne bool) error {
	s, end := r.segment, r.position+int64(r.size)
	h := openHeaders(r.file)
	defer h.close()
	first, size, err := h.at(r.position, end)
	if err != nil {
		return damage(r.file.Name(), r.position, err)
	}
	if size > maxBytes {
		r.size, r.nextOffset = int(size), first.NextOffset()
		if !atLeastOne {
			r.size = 0
		}
		return nil
	}
	limit := r.position + maxBytes
	position := r.position + size
	x, _, err := s.load()
	if err != nil {
		return err
	}
	// Most of the way is known to the index; the rest is less than its interval.
	if e, ok := floorPosition(x.offsets.all(), limit); ok && int64(e.position) > position && s.entryHolds(h, e) {
		position = int64(e.position)
	}
	for {
		header, size, err := h.at(position, end)
		if err != nil {
			return damage(r.file.Name(), position, err)
		}
		if position+size > limit {
			r.size, r.nextOffset = int(position-r.position), header.BaseOffset()
			s.boundaries.add(r.nextOffset, position)
			return nil
		}
		position += size
	}
}

// locate returns the batch that contains the offset, or the first one after it; the end of the first size bytes, as a
// batch at the offset, if there is none.
func (s *segment) locate(file disk.File, offset, size int64) (boundary, error) {
	if position, ok := s.boundaries.find(offset); ok && position <= size {
		return boundary{offset, position}, nil
	}
	x, _, err := s.load()
	if err != nil {
		return boundary{}, err
	}
	found, err := s.walkTo(file, x, offset, size)
	if err == nil && found.offset == offset {
		s.boundaries.add(offset, found.position)
	}
	return found, err
}

// walkTo goes from the nearest index entry to where locate wants to be.
func (s *segment) walkTo(file disk.File, x *indexes, offset, size int64) (boundary, error) {
	h := openHeaders(file)
	defer h.close()
	position := s.startOfWalk(h, x.offsets.all(), offset)
	for position < size {
		header, batchSize, err := h.at(position, size)
		if err != nil {
			return boundary{}, damage(file.Name(), position, err)
		}
		if header.LastOffset() >= offset {
			return boundary{header.BaseOffset(), position}, nil
		}
		position += batchSize
	}
	return boundary{offset, size}, nil
}

// startOfWalk returns the position of the last batch that is indexed and ends at or before the offset, 0 if there is
// none. An entry that points to something else than it says is passed over, in growing steps back.
func (s *segment) startOfWalk(h *headers, entries []offsetEntry, offset int64) int64 {
	n := countFloorOffset(entries, offset-s.base)
	for step := 1; n > 0; n, step = n-step, 2*step {
		if e := entries[n-1]; s.entryHolds(h, e) {
			return int64(e.position)
		}
	}
	return 0
}

// Range is a run of whole batches in the file of one segment. It is not safe for concurrent use.
type Range struct {
	segment    *segment
	file       disk.File
	position   int64
	size       int
	nextOffset int64
}

// File is the file that holds the batches; a disk.Backed one can be sent with sendfile. It is open until Release.
func (r *Range) File() disk.File { return r.file }

// Position is where in the file the batches begin.
func (r *Range) Position() int64 { return r.position }

// Size is how many bytes they have.
func (r *Range) Size() int { return r.size }

// NextOffset is the offset that follows their last record: where to read on.
func (r *Range) NextOffset() int64 { return r.nextOffset }

// ReadAt reads len(p) bytes of the batches, at counted from the first of them. It returns io.EOF at their end.
func (r *Range) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at >= int64(r.size) {
		return 0, io.EOF
	}
	short := int64(len(p)) > int64(r.size)-at
	if short {
		p = p[:int64(r.size)-at]
	}
	n, err := r.file.ReadAt(p, r.position+at)
	if n == len(p) {
		err = nil
		if short {
			err = io.EOF
		}
	}
	return n, err
}

// WriteTo copies the batches to w.
func (r *Range) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.NewSectionReader(r.file, r.position, int64(r.size)))
}

// Release lets go of the file. The Range must not be used afterwards.
func (r *Range) Release() {
	s := r.segment
	r.segment, r.file = nil, nil
	if s != nil {
		_ = s.release() // the last one out closes a file that was only read
	}
}
