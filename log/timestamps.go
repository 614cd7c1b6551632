package log

import (
	"fmt"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// Found is a record that was looked up by time.
type Found struct {
	Offset      int64
	TimestampMs int64
	LeaderEpoch int32 // that it was written in, UndefinedEpoch if not known
}

// lookupDecompressedMax bounds what a compressed batch may become when a record is looked up inside it.
const lookupDecompressedMax = 64 << 20

// OffsetForTimestamp returns the first record at or after the log start whose timestamp is at least timestampMs; ok is
// false if there is none. It may lie beyond what is durable: bounding it is the caller's part.
// Inside a batch that cannot be decompressed, or not within lookupDecompressedMax, its first record stands for it.
func (l *Log) OffsetForTimestamp(timestampMs int64) (found Found, ok bool, err error) {
	if l.closed.Load() {
		return Found{}, false, ErrClosed
	}
	err = l.eachSegment(func() { found, ok = Found{}, false }, func(s *segment, start int64) (bool, error) {
		var err error
		found, ok, err = s.firstSince(timestampMs, start)
		return !ok, err
	})
	if ok {
		found.LeaderEpoch = l.EpochForOffset(found.Offset)
	}
	return found, ok, err
}

// MaxTimestamp returns the first record with the largest timestamp of the log; ok is false if the log is empty.
func (l *Log) MaxTimestamp() (found Found, ok bool, err error) {
	if l.closed.Load() {
		return Found{}, false, ErrClosed
	}
	err = l.eachSegment(func() { found, ok = Found{}, false }, func(s *segment, start int64) (bool, error) {
		candidate, candidateOK, err := s.newest(start)
		if candidateOK && (!ok || candidate.TimestampMs > found.TimestampMs) {
			found, ok = candidate, true
		}
		return true, err
	})
	if ok {
		found.LeaderEpoch = l.EpochForOffset(found.Offset)
	}
	return found, ok, err
}

// eachSegment calls look for the segments from the log start on until it returns false. When one of them is deleted or
// replaced meanwhile, it calls again and begins anew.
func (l *Log) eachSegment(again func(), look func(s *segment, start int64) (more bool, err error)) error {
	for {
		list := l.segments.Load()
		err := list.each(l.logStart.Load(), look)
		if err == nil || list == l.segments.Load() {
			return err
		}
		if l.closed.Load() {
			return ErrClosed
		}
		again()
	}
}

func (l segmentList) each(start int64, look func(s *segment, start int64) (more bool, err error)) error {
	for _, s := range l[max(l.find(start), 0):] {
		if !s.acquire() {
			return ErrClosed
		}
		more, err := look(s, start)
		_ = s.release() // read only
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// firstSince returns the segment's first record at or after the offset start with at least the timestamp.
func (s *segment) firstSince(timestampMs, start int64) (found Found, ok bool, err error) {
	x, _, err := s.load()
	if err != nil || x.maxTimestamp.Load() < timestampMs {
		return Found{}, false, err
	}
	file, err := s.open()
	if err != nil {
		return Found{}, false, err
	}
	size := s.size.Load()
	position, err := s.timeStart(file, x, timestampMs, start, size)
	if err != nil {
		return Found{}, false, err
	}
	var readErr error
	err = walkHeaders(file, position, size, func(header headerView, position, batchSize int64) bool {
		if header.MaxTimestampMs() < timestampMs || header.LastOffset() < start || header.Count() == 0 {
			return true
		}
		found, ok, readErr = findInBatch(file, position, batchSize, func(r *record.Reader) bool {
			return r.Offset() >= start && r.TimestampMs() >= timestampMs
		}, start)
		return readErr == nil && !ok
	})
	if err == nil {
		err = readErr
	}
	return found, ok, err
}

// timeStart returns the position of a batch that no record at or after start with at least the timestamp lies before.
func (s *segment) timeStart(file disk.File, x *indexes, timestampMs, start, size int64) (int64, error) {
	first, err := s.locate(file, max(start, s.base), size)
	if err != nil {
		return 0, err
	}
	e, ok := floorTime(x.times.all(), timestampMs)
	if !ok {
		return first.position, nil
	}
	named := s.base + int64(e.relative)
	indexed, err := s.locate(file, named, size)
	if err != nil {
		return 0, err
	}
	h := openHeaders(file)
	defer h.close()
	header, _, err := h.at(indexed.position, size)
	if err != nil || header.LastOffset() != named || header.MaxTimestampMs() != e.timestampMs {
		return first.position, nil // the entry is wrong
	}
	return max(first.position, indexed.position), nil
}

// newest returns the segment's first record at or after start with the largest timestamp there.
func (s *segment) newest(start int64) (found Found, ok bool, err error) {
	x, _, err := s.load()
	if err != nil {
		return Found{}, false, err
	}
	file, err := s.open()
	if err != nil {
		return Found{}, false, err
	}
	size := s.size.Load()
	from := x.maxOffset.Load()
	if from < start {
		// The newest lies before the log start, or there is none.
		from = max(start, s.base)
	}
	first, err := s.locate(file, from, size)
	if err != nil {
		return Found{}, false, err
	}
	largest, at, batchSize := int64(-1), int64(0), int64(0)
	err = walkHeaders(file, first.position, size, func(header headerView, position, size int64) bool {
		if header.MaxTimestampMs() > largest && header.Count() > 0 {
			largest, at, batchSize = header.MaxTimestampMs(), position, size
		}
		return from < x.maxOffset.Load() || header.LastOffset() != x.maxOffset.Load()
	})
	if err != nil || largest < 0 {
		return Found{}, false, err
	}
	return findInBatch(file, at, batchSize, func(r *record.Reader) bool {
		return r.Offset() >= start && r.TimestampMs() == largest
	}, start)
}

// findInBatch returns the first record of a batch that matches. Of a batch whose records cannot be read it returns the
// first one at or after start.
func findInBatch(file disk.File, position, size int64, matches func(*record.Reader) bool, start int64) (Found, bool, error) {
	b := make(record.Batch, size)
	if n, err := file.ReadAt(b, position); n < len(b) {
		return Found{}, false, fmt.Errorf("read batch of %s at %d: %w", file.Name(), position, err)
	}
	reader, err := b.Records(lookupDecompressedMax)
	if err == nil {
		for reader.Next() {
			if matches(reader) {
				return Found{Offset: reader.Offset(), TimestampMs: reader.TimestampMs()}, true, nil
			}
		}
		err = reader.Err()
	}
	if err != nil {
		return Found{Offset: max(b.BaseOffset(), start), TimestampMs: b.MaxTimestampMs()}, true, nil
	}
	return Found{}, false, nil
}
