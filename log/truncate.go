package log

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Truncate cuts off the batch that contains the offset to and all after it, so that the log ends there or, inside a
// batch, at the batch's base offset. Epochs, producers, indexes and the durable offset are rolled back with it, and on
// return all that is durable. An offset at or beyond the log end changes nothing.
//
// A producer is then known by the batch before the cut ones, if no compaction has removed that while they were there: it may be told
// that the sequence it goes on with is out of order, as by Apache Kafka.
//
// Ranges that reach beyond the cut come short when they are read. ErrOutOfRange: the log would end before its start.
// After any other error in the middle the log has failed, and the next Open finds a prefix that is whole.
func (l *Log) Truncate(to int64) error {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	if start := l.logStart.Load(); to < start {
		return fmt.Errorf("truncate to %d: %w: log begins at %d", to, ErrOutOfRange, start)
	}
	if to >= l.logEnd.Load() {
		return nil
	}
	end, err := l.boundaryLocked(to)
	if err != nil {
		return err
	}
	if start := l.logStart.Load(); end.offset < start {
		return fmt.Errorf("truncate to %d: %w: log begins at %d, in the batch at %d", to, ErrOutOfRange, start, end.offset)
	}
	if err := l.openForAppendLocked(); err != nil {
		return err
	}
	if err := l.cutLocked(end); err != nil {
		return l.fail(fmt.Sprintf("truncate to %d", to), err)
	}
	return nil
}

// boundaryLocked returns the beginning of the batch that contains the offset, or the end of the one before it.
func (l *Log) boundaryLocked(offset int64) (place, error) {
	list := *l.segments.Load()
	s := list[list.find(offset)]
	s.acquire() // it is in the list, and mu is held
	defer s.release()
	file, err := s.open()
	if err != nil {
		return place{}, err
	}
	found, err := s.locate(file, offset, s.size.Load())
	if err != nil {
		return place{}, err
	}
	end := place{offset: found.offset, segment: s.base, position: found.position}
	if found.offset > offset || found.position == s.size.Load() {
		// Compaction has taken the offset away: the log ends where the batch before it does.
		end.offset = s.base
		err = walkHeaders(file, 0, found.position, func(header headerView, _, _ int64) bool {
			end.offset = header.NextOffset()
			return true
		})
	}
	return end, err
}

// cutLocked does the cut in an order that leaves a whole prefix wherever it is interrupted: what promises more goes
// first, then the segments from the last one back, each durably gone before the one before it.
func (l *Log) cutLocked(end place) error {
	// What is only in memory must be in the file, because the cut reads there.
	if err := l.mu.active.durability.sync(); err != nil {
		return err
	}
	if err := l.closeDurabilityLocked(); err != nil {
		return err
	}
	l.cuts.Add(1)
	if state := *l.cleaner.Load(); state.dirty > end.offset {
		state.dirty = end.offset // what will be there is new
		if err := l.saveCleaner(state); err != nil {
			return err
		}
	}
	durable := min(l.durable.Load(), end.offset)
	l.mu.recovery = end
	if durable < end.offset {
		l.mu.recovery = place{offset: durable, segment: min(durable, end.segment)}
	}
	promise := l.mu.recovery
	l.durable.Store(durable)
	if err := l.writeCheckpointLocked(false); err != nil {
		return err
	}
	if err := l.marks.reset(promise, l.logStart.Load()); err != nil {
		return err
	}
	// From here on reads stay off what is being cut, even if the cut fails half-way. Not earlier: the checkpoint takes
	// the place of the log end from the active segment, which is still the old one.
	l.logEnd.Store(end.offset)
	if err := l.dropSnapshotsLocked(end.offset); err != nil {
		return err
	}
	if err := l.closeIndexFilesLocked(); err != nil {
		return err
	}
	list := slices.Clone(*l.segments.Load())
	for last := list.active(); last.base > end.segment; last = list.active() {
		list = list[:len(list)-1]
		kept := slices.Clone(list)
		l.segments.Store(&kept)
		if err := errors.Join(last.delete(), last.retire()); err != nil {
			return err
		}
		if err := l.fsys.SyncDir(l.dir); err != nil {
			return err
		}
	}
	return l.cutSegmentLocked(list, end)
}

// dropSnapshotsLocked removes the producer snapshots beyond the new end.
func (l *Log) dropSnapshotsLocked(end int64) error {
	var errs []error
	drop := func(suffix string) func(int64) bool {
		return func(offset int64) bool {
			if offset <= end {
				return false
			}
			if err := l.fsys.Remove(path(l.dir, offset, suffix)); err != nil && !isAbsent(err) {
				errs = append(errs, err)
			}
			return true
		}
	}
	l.mu.snapshots = slices.DeleteFunc(l.mu.snapshots, drop(producersSuffix))
	l.mu.kafkaSnapshots = slices.DeleteFunc(l.mu.kafkaSnapshots, drop(kafkaSnapshotSuffix))
	errs = append(errs, l.fsys.SyncDir(l.dir))
	return errors.Join(errs...)
}

// cutSegmentLocked cuts the last segment of the list and makes it the active one.
func (l *Log) cutSegmentLocked(list segmentList, end place) error {
	old := list.active()
	aborted, err := l.abortedBeforeLocked(old, end.offset)
	if err != nil {
		return err
	}
	s := newSegment(l.fsys, l.dir, old.base, end.position)
	s.aborted.set(aborted)
	s.setWritable(true)
	file, err := s.open()
	if err != nil {
		return err
	}
	x, err := buildIndexes(file, s.base, end.position, l.config.Load().IndexIntervalBytes)
	if err != nil {
		return errors.Join(err, s.retire())
	}
	s.indexes.Store(x)
	s.boundaries.setEnd(end.offset, end.position)
	// Readers see the shorter segment before the file is.
	list[len(list)-1] = s
	l.segments.Store(&list)
	l.mu.active = activeState{segment: s, firstTimestampMs: -1, createdMs: -1}
	old.size.Store(end.position) // for reads, should the rest fail
	if err := file.Truncate(end.position); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	l.durable.Store(end.offset)
	if err := old.retire(); err != nil {
		return err
	}
	if len(aborted) == 0 {
		if err := replaceTxnIndex(l.fsys, s, nil); err != nil {
			return err
		}
	}
	if err := l.rollBackDerivedLocked(end.offset); err != nil {
		return err
	}
	l.logger.Info("log truncated", "dir", l.dir, "log_end", end.offset)
	return l.marks.reset(end, l.logStart.Load())
}

// abortedBeforeLocked returns the aborted transactions of the segment whose markers lie before the offset.
func (l *Log) abortedBeforeLocked(s *segment, offset int64) ([]abortedEntry, error) {
	s.acquire() // it is in the list, and mu is held
	defer s.release()
	entries, err := s.aborted.load(func() ([]abortedEntry, error) { return l.finderLocked().find(s) })
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e abortedEntry) bool { return e.LastOffset >= offset }), nil
}

// rollBackDerivedLocked makes epochs and producers those of the log up to end.
func (l *Log) rollBackDerivedLocked(end int64) error {
	cut := l.epochs.Load().truncateEnd(end)
	l.epochs.Store(&cut)
	l.mu.unsavedEpochs = true
	if err := l.saveEpochsLocked(); err != nil {
		return err
	}
	found, err := loadProducers(l.fsys, l.dir, l.directoryLocked(), end, l.newestActivityLocked(), l.logger)
	if err != nil {
		return err
	}
	l.mu.producers = found.producers
	l.unstable.Store(found.producers.unstable)
	return l.openForAppendLocked()
}

// newestActivityLocked is the latest time that any producer was seen.
func (l *Log) newestActivityLocked() int64 {
	var newest int64
	for _, e := range l.mu.producers.entries {
		newest = max(newest, e.lastActiveMs)
	}
	return newest
}

func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
