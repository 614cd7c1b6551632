package log

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/internal/invariant"
	"github.com/millrace/millrace/log/record"
)

// Append writes b at the end of the log. b is one batch that record.Validate has accepted; Append rewrites its base
// offset, its leader epoch and, under LogAppendTime, its timestamps in place, and keeps no reference to it.
//
// The batch survives a crash only once a Sync that began later has returned. A repeat of one of the producer's last
// five batches appends nothing and returns the offsets of the first time; other breaks of its sequence are
// ErrOutOfOrderSequence and ErrInvalidProducerEpoch (KIP-98, KIP-360). ErrFull: no room, nothing was appended, the log
// goes on, as it does after any other error that is not ErrFailed or ErrClosed.
//
// A transactional batch opens its producer's transaction or belongs to the one that is open; whether it may open one is for
// the caller to know. A batch of the producer outside of it is ErrInvalidTxnState. A marker (Internal) ends it, and is
// appended without one too: it fences. An older coordinator's is ErrCoordinatorFenced.
//
// Append allocates nothing and is not safe for concurrent use with itself; Reads and a Sync may run meanwhile.
func (l *Log) Append(b record.Batch, options AppendOptions) (Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Err(); err != nil {
		return Appended{}, err
	}
	config := l.config.Load()
	if options.Internal {
		if err := l.mu.producers.checkInternal(b, options.NewEpochOnly); err != nil {
			return Appended{}, err
		}
	} else {
		repeated, err := l.mu.producers.check(b)
		if err != nil {
			return Appended{}, err
		}
		if repeated != nil {
			return l.repeatedLocked(repeated, config), nil
		}
	}
	appended, err := l.appendLocked(b, options, config)
	if err != nil {
		return Appended{}, err
	}
	return appended, nil
}

// repeatedLocked is the answer to a batch that the log already has.
func (l *Log) repeatedLocked(b *producedBatch, config *Config) Appended {
	appended := Appended{
		BaseOffset:      b.lastOffset - int64(b.offsetDelta),
		LastOffset:      b.lastOffset,
		LogAppendTimeMs: -1,
		LogStartOffset:  l.logStart.Load(),
		Duplicate:       true,
	}
	if config.LogAppendTime {
		appended.LogAppendTimeMs = b.timestampMs
	}
	return appended
}

func (l *Log) appendLocked(b record.Batch, options AppendOptions, config *Config) (Appended, error) {
	if err := l.openForAppendLocked(); err != nil {
		return Appended{}, err
	}
	appended := Appended{BaseOffset: l.logEnd.Load(), LogAppendTimeMs: -1, LogStartOffset: l.logStart.Load()}
	appended.LastOffset = appended.BaseOffset + int64(b.LastOffsetDelta())
	b.SetBaseOffset(appended.BaseOffset)
	b.SetPartitionLeaderEpoch(options.LeaderEpoch)
	if config.LogAppendTime {
		appended.LogAppendTimeMs = options.NowMs
		b.SetLogAppendTime(options.NowMs)
	}
	if l.rollDueLocked(b, options.NowMs, config) {
		if err := l.rollLocked(options.NowMs); err != nil {
			return Appended{}, err
		}
	}
	if l.mu.active.createdMs < 0 {
		l.mu.active.createdMs = options.NowMs
	}
	if err := l.writeLocked(b); err != nil {
		return Appended{}, err
	}
	l.noteLocked(b, options, config)
	return appended, nil
}

// writeLocked puts b into the active segment's file, or leaves the file as it was.
func (l *Log) writeLocked(b record.Batch) error {
	active := &l.mu.active
	position := active.segment.size.Load()
	err := active.durability.write(b, position)
	if err == nil {
		return nil
	}
	// A part may be there. Left in place it would be taken for a torn tail after a crash, or stick out from under a
	// shorter batch that is written next.
	if cutErr := active.durability.cut(position); cutErr != nil {
		return l.fail("cut a batch that was not wholly written", fmt.Errorf("%w, after %w", cutErr, err))
	}
	return writeError(fmt.Sprintf("append %d bytes to %s", len(b), active.segment.path(logSuffix)), err)
}

// noteLocked brings everything derived up to b, which is in the file, and makes it readable.
func (l *Log) noteLocked(b record.Batch, options AppendOptions, config *Config) {
	active := &l.mu.active
	s := active.segment
	position, next := s.size.Load(), b.NextOffset()
	invariant.Assert(b.BaseOffset() == l.logEnd.Load(), "dense offsets: batch at %d, log end %d", b.BaseOffset(), l.logEnd.Load())
	// Size, indexes, end, in this order: an entry never points beyond the size, and whoever sees the end finds the rest.
	s.size.Store(position + int64(len(b)))
	s.boundaries.setEnd(next, position+int64(len(b)))
	s.gaps.appended(b, position)
	x := s.indexes.Load()
	x.noteMax(b)
	if active.bytesSinceIndex > config.IndexIntervalBytes {
		x.offsets.append(offsetEntry{relative: int32(b.LastOffset() - s.base), position: int32(position)})
		x.noteTime(s.base)
		active.bytesSinceIndex = 0
	}
	active.bytesSinceIndex += int64(len(b))
	if position == 0 {
		active.firstTimestampMs = b.MaxTimestampMs()
	}
	if aborted, ok := l.mu.producers.apply(b, options.NowMs); ok {
		l.noteAbortedLocked(aborted)
	}
	if epochs := l.epochs.Load(); options.LeaderEpoch > epochs.latest() {
		assigned := epochs.assign(options.LeaderEpoch, b.BaseOffset())
		l.epochs.Store(&assigned)
		l.mu.unsavedEpochs = true
	}
	l.logEnd.Store(next)
	l.assertOrder()
	l.saveIndexEntriesLocked()
}

// noteMax takes note of a batch's largest timestamp. One without records has none: it is what compaction left.
func (x *indexes) noteMax(header headerView) {
	if header.Count() == 0 {
		return
	}
	if x.maxTimestamp.Load() < header.MaxTimestampMs() {
		x.maxTimestamp.Store(header.MaxTimestampMs())
		x.maxOffset.Store(header.LastOffset())
	}
}

// noteTime adds the largest timestamp so far to the time index, unless it is there.
func (x *indexes) noteTime(base int64) {
	timestampMs, offset := x.maxTimestamp.Load(), x.maxOffset.Load()
	if timestampMs < 0 {
		return
	}
	last, ok := x.times.last()
	if !ok || timestampMs > last.timestampMs {
		x.times.append(timeEntry{timestampMs: timestampMs, relative: int32(offset - base)})
	}
}

// rollDueLocked says whether b must begin a new segment. An empty segment takes any batch.
func (l *Log) rollDueLocked(b record.Batch, nowMs int64, config *Config) bool {
	active := &l.mu.active
	s := active.segment
	size := s.size.Load()
	if size == 0 {
		return b.LastOffset()-s.base > math.MaxInt32
	}
	x := s.indexes.Load()
	return size+int64(len(b)) > config.SegmentBytes ||
		b.LastOffset()-s.base > math.MaxInt32 ||
		active.ageMs(b, nowMs) > config.rollMs()-l.jitterMs(s.base, config) ||
		int64(x.offsets.len()+1)*offsetEntrySize > config.SegmentIndexBytes ||
		// One entry more is added when the segment is sealed.
		int64(x.times.len()+2)*timeEntrySize > config.SegmentIndexBytes
}

// ageMs is how much newer b is than the segment, by the batches' own timestamps if they have any, as Kafka does: then
// copying old records does not make segments of one batch each. A clock that jumps back makes it negative.
func (a *activeState) ageMs(b record.Batch, nowMs int64) int64 {
	if a.firstTimestampMs >= 0 {
		return b.MaxTimestampMs() - a.firstTimestampMs
	}
	return nowMs - a.createdMs
}

// jitterMs spreads the rolls of many partitions over time. It is the same for a segment whenever it is asked for.
func (l *Log) jitterMs(base int64, config *Config) int64 {
	if config.SegmentJitterMs <= 0 {
		return 0
	}
	hash := (l.jitterSeed ^ uint64(base)) * fnvPrime
	return min(int64(hash>>1)%config.SegmentJitterMs, config.rollMs())
}

const fnvPrime = 1099511628211
