package log

import (
	"errors"
	"fmt"
	"slices"
)

// Retain deletes the oldest segments that retention.ms, retention.bytes or the log start no longer keep, as far as all
// their records lie below committed and before the first transaction that is not decided there. A segment's age is that of its newest record, so one record from the future keeps
// its segment, as in Kafka. The active segment is deleted only when all of it has expired: then a new one is begun first.
//
// The new log start is durable before the first file goes, so that a crash in the middle leaves no hole.
// Ranges that were read stay readable.
func (l *Log) Retain(nowMs int64, committed int64) (deletedBytes int64, err error) {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	gone, err := l.detachExpired(nowMs, committed)
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	// Without mu: removing a large file takes its time, and batches come in.
	var errs []error
	for _, s := range gone {
		deletedBytes += s.size.Load()
		errs = append(errs, s.delete(), s.retire())
	}
	l.logger.Info("segments deleted", "dir", l.dir, "count", len(gone), "bytes", deletedBytes, "log_start", l.logStart.Load())
	return deletedBytes, errors.Join(errs...)
}

// detachExpired takes the segments that may go out of the list, after the log start that says so is durable.
func (l *Log) detachExpired(nowMs, committed int64) (gone []*segment, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Err(); err != nil {
		return nil, err
	}
	if d, ok := l.mu.active.durability.(*directWrites); ok {
		d.rest()
	}
	count, err := l.expiredLocked(nowMs, committed)
	if count == 0 || err != nil {
		return nil, err
	}
	if err := l.openForAppendLocked(); err != nil {
		return nil, err
	}
	if count == len(*l.segments.Load()) {
		if err := l.rollLocked(nowMs); err != nil {
			return nil, err
		}
	}
	list := *l.segments.Load()
	gone, kept := list[:count], slices.Clone(list[count:])
	if kept[0].base > l.logStart.Load() {
		if err := l.moveStartWithoutRoomLocked(gone, kept[0].base); err != nil {
			return nil, err
		}
	}
	l.segments.Store(&kept)
	l.removeSnapshotsLocked()
	return gone, nil
}

// moveStartWithoutRoomLocked moves the log start even on a full disk, where retention is what makes room: if there is
// none for the checkpoint, the indexes of the segments that go are removed first. They are hints, and rebuilt if it fails.
func (l *Log) moveStartWithoutRoomLocked(gone []*segment, start int64) error {
	err := l.moveStartLocked(start)
	if !outOfRoom(err) {
		return err
	}
	for _, s := range gone {
		for _, suffix := range []string{indexSuffix, timeIndexSuffix} {
			if err := s.fsys.Remove(s.path(suffix)); err != nil && !isAbsent(err) {
				l.logger.Warn("file not removed", "path", s.path(suffix), "error", err)
			}
		}
	}
	return l.moveStartLocked(start)
}

// expiredLocked is how many of the oldest segments may go; all of them only if the last one has records.
func (l *Log) expiredLocked(nowMs, committed int64) (count int, err error) {
	config, list, start := l.config.Load(), *l.segments.Load(), l.logStart.Load()
	stable := min(committed, l.FirstUnstable(committed))
	surplus := int64(-1)
	if config.DeleteOldSegments && config.RetentionBytes >= 0 {
		surplus = list.bytes() - config.RetentionBytes
	}
	for i, s := range list {
		end, size := l.logEnd.Load(), s.size.Load()
		if i+1 < len(list) {
			end = list[i+1].base
		}
		if end > stable || i+1 == len(list) && size == 0 {
			return i, nil
		}
		expired := end <= start
		if !expired && surplus-size >= 0 {
			expired = true
		}
		if !expired && config.DeleteOldSegments && config.RetentionMs >= 0 {
			if expired, err = s.expired(nowMs - config.RetentionMs); err != nil {
				return 0, err
			}
		}
		if !expired {
			return i, nil
		}
		surplus -= size
	}
	return len(list), nil
}

// expired says whether the newest record of the segment is older than beforeMs. Without any timestamp it never is; without any
// record, which is what compaction may leave, always.
func (s *segment) expired(beforeMs int64) (bool, error) {
	s.acquire() // it is in the list, and upkeep is held
	defer s.release()
	x, _, err := s.load()
	if err != nil {
		return false, err
	}
	if newest := x.maxTimestamp.Load(); newest >= 0 {
		return newest < beforeMs, nil
	}
	file, err := s.open()
	if err != nil {
		return false, err
	}
	empty := true
	err = walkHeaders(file, 0, s.size.Load(), func(header headerView, _, _ int64) bool {
		empty = header.Count() == 0
		return empty
	})
	return empty && err == nil, err
}

// moveStartLocked moves the log start; on return that is durable.
func (l *Log) moveStartLocked(start int64) error {
	previous := l.logStart.Swap(start)
	if err := l.writeCheckpointLocked(false); err != nil {
		l.logStart.Store(previous)
		return err
	}
	trimmed := l.epochs.Load().truncateStart(start)
	l.epochs.Store(&trimmed)
	l.mu.unsavedEpochs = true
	if err := l.marks.advanceStart(start); err != nil {
		l.logger.Warn("sync mark not written", "dir", l.dir, "error", err)
	}
	l.assertOrder()
	return nil
}

// delete removes the segment's files: first each one's name becomes one that Open removes, the batches' last.
func (s *segment) delete() error {
	var errs []error
	for _, suffix := range []string{indexSuffix, timeIndexSuffix, txnIndexSuffix, logSuffix} {
		name := s.path(suffix)
		err := s.fsys.Rename(name, name+deletedSuffix)
		if isAbsent(err) {
			continue
		}
		if err == nil {
			err = s.fsys.Remove(name + deletedSuffix)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("delete %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// DeleteBefore moves the log start to offset, which makes the records before it unreadable; on return that is durable.
// Their segments go with the next Retain. An offset at or below the log start changes nothing.
// ErrOutOfRange: it lies beyond the log end.
func (l *Log) DeleteBefore(offset int64) error {
	if offset > l.durable.Load() && offset <= l.logEnd.Load() {
		// The start must never be durable without the end that it lies before.
		if _, err := l.Sync(); err != nil {
			return err
		}
	}
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	if offset > l.logEnd.Load() {
		return fmt.Errorf("delete records before %d: %w: log ends at %d", offset, ErrOutOfRange, l.logEnd.Load())
	}
	if offset <= l.logStart.Load() {
		return nil
	}
	if err := l.changeLocked(); err != nil {
		return err
	}
	return l.moveStartLocked(offset)
}
