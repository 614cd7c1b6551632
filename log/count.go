package log

import "github.com/millrace/millrace/log/record"

// Backlog is what lies between two offsets of a log.
type Backlog struct {
	Records          int64 // data records: neither control records nor offsets that compaction has emptied
	FirstTimestampMs int64 // of the first of them, or of the batch that it is in; -1: there is none, or it is not known
	Estimated        bool  // the effort did not suffice, or a compacted batch is cut: Records is too high rather than too low
}

// Effort bounds what Backlog reads, over any number of calls: so many batch headers, look-ups and segments. What is
// found out is kept, so that a later call gets further.
type Effort struct{ Left int }

func (e *Effort) spend(cost int) bool {
	if e.Left < cost {
		return false
	}
	e.Left -= cost
	return true
}

// lookupCost is what finding a batch by its offset counts as, in headers.
const lookupCost = 4

// Backlog counts the data records at or after the offset from and before to. Offsets outside of the log are taken as its
// ends. Records of transactions that were aborted count: only who reads them knows.
//
// In a log without control batches and gaps that is a subtraction. Otherwise headers are walked, once for each segment,
// as far as effort reaches; what is appended meanwhile is counted as it comes. An error is the file system's, or a
// *CorruptError; the Backlog returned with it is an estimate.
func (l *Log) Backlog(from, to int64, effort *Effort) (Backlog, error) {
	from, to = max(from, l.logStart.Load()), min(to, l.logEnd.Load())
	b := Backlog{Records: max(to-from, 0), FirstTimestampMs: -1}
	if b.Records == 0 {
		return b, nil
	}
	list := *l.segments.Load()
	for i := max(list.find(from), 0); i < len(list) && list[i].base < to; i++ {
		if !effort.spend(1) {
			b.Estimated = true
			return b, nil
		}
		end := to
		if i+1 < len(list) {
			end = min(end, list[i+1].base)
		}
		if err := b.add(list[i], max(from, list[i].base), end, effort); err != nil {
			b.Estimated = true
			return b, err
		}
	}
	return b, nil
}

// add takes in the part of the backlog that lies in s. A segment that has gone meanwhile has no records any more.
func (b *Backlog) add(s *segment, from, to int64, effort *Effort) error {
	if !s.acquire() {
		b.Records -= to - from
		return nil
	}
	defer func() { _ = s.release() }() // read only
	missing, exact, err := s.missing(from, to, effort)
	b.Records -= missing
	b.Estimated = b.Estimated || !exact
	if err != nil || b.FirstTimestampMs >= 0 || missing == to-from {
		return err
	}
	b.FirstTimestampMs, err = s.firstTimestamp(from, to, effort)
	return err
}

// missing is how many of the offsets in [from, to), all of them this segment's, have no data record.
func (s *segment) missing(from, to int64, effort *Effort) (missing int64, exact bool, err error) {
	if s.gaps.none(to) {
		return 0, true, nil
	}
	file, err := s.open()
	if err != nil {
		return 0, false, err
	}
	size := s.size.Load()
	if err := s.gaps.catchUp(file, size, effort); err != nil {
		return 0, false, err
	}
	before, fromExact, err := s.gaps.before(file, from, size, effort)
	if err != nil {
		return 0, false, err
	}
	until, toExact, err := s.gaps.before(file, to, size, effort)
	return max(until-before, 0), fromExact && toExact, err
}

// firstTimestamp is the timestamp of the first data record in [from, to), -1 if there is none or effort is at its end.
// Within a batch it is the batch's first: to know it better would mean to decompress.
func (s *segment) firstTimestamp(from, to int64, effort *Effort) (int64, error) {
	if timestampMs, ok := s.gaps.timestamp(from); ok {
		return timestampMs, nil
	}
	if !effort.spend(lookupCost) {
		return -1, nil
	}
	file, err := s.open()
	if err != nil {
		return -1, err
	}
	size := s.size.Load()
	start, err := s.locate(file, from, size)
	if err != nil {
		return -1, err
	}
	timestampMs := int64(-1)
	err = walkHeaders(file, start.position, size, func(header headerView, _, _ int64) bool {
		if header.BaseOffset() >= to || !effort.spend(1) {
			return false
		}
		if dataRecords(header) == 0 {
			return true
		}
		timestampMs = firstTimestamp(header)
		s.gaps.keepTimestamp(from, timestampMs)
		return false
	})
	return timestampMs, err
}

// firstTimestamp is when the first record of a batch was made, as far as the header tells.
func firstTimestamp(header headerView) int64 {
	if header.HasDeleteHorizon() || header.TimestampType() == record.LogAppendTime {
		return header.MaxTimestampMs()
	}
	return header.BaseTimestampMs()
}

// dataRecords is how many data records a batch has.
func dataRecords(header headerView) int64 {
	if header.IsControl() {
		return 0
	}
	return min(max(int64(header.Count()), 0), int64(header.LastOffsetDelta())+1)
}

// ProducerCount is how many idempotent producers the log keeps the state of. It does not wait for the writer: while
// that is at work it is the number of last time.
func (l *Log) ProducerCount() int {
	if l.mu.TryLock() {
		l.producerCount.Store(int64(len(l.mu.producers.entries)))
		l.mu.Unlock()
	}
	return int(l.producerCount.Load())
}
