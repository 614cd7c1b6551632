package log

import (
	"math"
)

// Cleanable says what a compaction of the log would find.
type Cleanable struct {
	FirstDirty int64 // all below has been compacted
	End        int64 // nothing at or above may be compacted now
	CleanBytes int64 // size of the segments below FirstDirty
	DirtyBytes int64 // and of those between FirstDirty and End
	OverdueMs  int64 // how long a record has waited beyond max.compaction.lag.ms, or a tombstone beyond its delete horizon
}

// Ratio is the dirty part of what may be compacted, which min.cleanable.dirty.ratio is about; 0 if there is nothing.
func (c Cleanable) Ratio() float64 {
	if c.DirtyBytes == 0 {
		return 0
	}
	return float64(c.DirtyBytes) / float64(c.CleanBytes+c.DirtyBytes)
}

// Cleanable looks at what a Compact at nowMs with that Before would be about. Nothing is changed.
func (l *Log) Cleanable(nowMs, before int64) (Cleanable, error) {
	if err := l.Err(); err != nil {
		return Cleanable{}, err
	}
	config, state := l.config.Load(), l.cleaner.Load()
	list := *l.segments.Load()
	end, err := l.cleanableEnd(list, config, nowMs, before)
	if err != nil {
		return Cleanable{}, err
	}
	found := Cleanable{FirstDirty: l.firstDirty(), End: end}
	if end < found.FirstDirty {
		return found, nil
	}
	for i, s := range list[:len(list)-1] {
		next := list[i+1].base
		switch {
		case next > end:
			return found, nil
		case next <= found.FirstDirty:
			found.CleanBytes += s.size.Load()
			continue
		}
		found.DirtyBytes += s.size.Load()
		firstMs, err := s.firstTimestampMs(config)
		if err != nil {
			return Cleanable{}, err
		}
		if firstMs >= 0 {
			found.OverdueMs = max(found.OverdueMs, nowMs-config.MaxCompactionLagMs-firstMs)
		}
	}
	if state.dueMs >= 0 && found.CleanBytes+found.DirtyBytes > 0 {
		found.OverdueMs = max(found.OverdueMs, nowMs-state.dueMs+1)
	}
	return found, nil
}

// firstDirty is where the next compaction begins.
func (l *Log) firstDirty() int64 {
	dirty := l.cleaner.Load().dirty
	if dirty > l.logEnd.Load() {
		dirty = 0
	}
	return max(dirty, l.logStart.Load())
}

// cleanableEnd is the end of the last segment that may be compacted: sealed, below before, and old enough.
func (l *Log) cleanableEnd(list segmentList, config *Config, nowMs, before int64) (int64, error) {
	end := list[0].base
	for i, s := range list[:len(list)-1] {
		next := list[i+1].base
		if next > before {
			break
		}
		if config.MinCompactionLagMs > 0 && next > l.firstDirty() {
			young, err := s.youngerThan(nowMs - config.MinCompactionLagMs)
			if err != nil {
				return 0, err
			}
			if young {
				break
			}
		}
		end = next
	}
	return end, nil
}

// youngerThan says whether the newest record of the segment is.
func (s *segment) youngerThan(timestampMs int64) (bool, error) {
	if !s.acquire() {
		return true, nil // it has gone meanwhile
	}
	defer s.release()
	x, _, err := s.load()
	if err != nil {
		return false, err
	}
	return x.maxTimestamp.Load() > timestampMs, nil
}

// firstTimestampMs is that of the segment's first batch, -1 if nobody asks for it, or there is none.
func (s *segment) firstTimestampMs(config *Config) (int64, error) {
	if config.MaxCompactionLagMs == math.MaxInt64 || s.size.Load() == 0 || !s.acquire() {
		return -1, nil
	}
	defer s.release()
	file, err := s.open()
	if err != nil {
		return -1, err
	}
	h := openHeaders(file)
	defer h.close()
	first, _, err := h.at(0, s.size.Load())
	if err != nil {
		return -1, damage(file.Name(), 0, err)
	}
	return first.MaxTimestampMs(), nil
}

// RollOverdue seals the active segment if its first record is older than max.compaction.lag.ms: only sealed segments are
// compacted, and no further record may come to seal it.
func (l *Log) RollOverdue(nowMs int64) error {
	config := l.config.Load()
	if !config.Compacted || config.MaxCompactionLagMs == math.MaxInt64 {
		return nil
	}
	list := *l.segments.Load()
	firstMs, err := list.active().firstTimestampMs(config)
	if err != nil || firstMs < 0 || nowMs-firstMs <= config.MaxCompactionLagMs {
		return err
	}
	return l.Roll(nowMs)
}
