package log

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/millrace/millrace/internal/disk"
)

// Roll seals the active segment and begins a new one, unless the active one is empty.
func (l *Log) Roll(nowMs int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.Err(); err != nil {
		return err
	}
	if l.mu.active.segment.size.Load() == 0 {
		return nil
	}
	if err := l.openForAppendLocked(); err != nil {
		return err
	}
	return l.rollLocked(nowMs)
}

// rollLocked seals the active segment and begins a new one at the log end. All that belongs to the old one is durable
// before the new one exists, so that only the last segment of a log can have a torn tail. If it fails for want of room
// or in writing a new file, the old segment stays active.
func (l *Log) rollLocked(nowMs int64) error {
	if err := l.saveAllLocked(); err != nil {
		return err
	}
	end := l.logEnd.Load()
	next, d, err := l.createSegmentLocked(end)
	if err != nil {
		return err
	}
	old := *l.segments.Load()
	list := append(slices.Clone(old), next)
	if err := l.closeIndexFilesLocked(); err != nil {
		l.logger.Warn("index not closed", "base", l.mu.active.segment.base, "error", err)
	}
	if err := l.closeDurabilityLocked(); err != nil {
		l.logger.Warn("segment not closed", "base", l.mu.active.segment.base, "error", err)
	}
	l.mu.active = activeState{segment: next, durability: d, firstTimestampMs: -1, createdMs: nowMs}
	l.segments.Store(&list)
	sealed := old.active()
	sealed.setWritable(false)
	if err := sealed.closeIdle(); err != nil {
		l.logger.Warn("segment not closed", "path", sealed.path(logSuffix), "error", err)
	}
	l.advanceDurable(place{offset: end, segment: end})
	if err := l.marks.sync(); err != nil {
		l.logger.Warn("sync mark not synced", "dir", l.dir, "error", err)
	}
	l.removeSnapshotsLocked()
	l.logger.Debug("segment rolled", "dir", l.dir, "base", end)
	return nil
}

// saveAllLocked makes the active segment, its indexes and everything derived from the log up to its end durable.
func (l *Log) saveAllLocked() error {
	if err := l.syncAndSealLocked(); err != nil {
		return err
	}
	if err := l.sealIndexesLocked(); err != nil {
		if errors.Is(err, ErrFull) {
			return err
		}
		return l.fail("seal indexes", err)
	}
	if err := l.saveProducersLocked(); err != nil {
		return err
	}
	return l.saveEpochsLocked()
}

// syncAndSealLocked makes the active segment durable, with the valid end as the size of its file.
func (l *Log) syncAndSealLocked() error {
	active := &l.mu.active
	if err := active.durability.seal(); err != nil {
		return l.fail("sync "+active.segment.path(logSuffix), err)
	}
	reached := l.endLocked()
	active.segment.boundaries.add(reached.offset, reached.position)
	l.advanceDurable(reached)
	return nil
}

// closeDurabilityLocked makes the active segment one that is not opened for writing.
func (l *Log) closeDurabilityLocked() error {
	d := l.mu.active.durability
	if d == nil {
		return nil
	}
	l.mu.active.durability = nil
	return d.close()
}

// createSegmentLocked makes the files of an empty segment, ready to be written.
func (l *Log) createSegmentLocked(base int64) (*segment, durability, error) {
	s := newSegment(l.fsys, l.dir, base, 0)
	s.setWritable(true)
	s.indexes.Store(newIndexes(nil, nil))
	s.aborted.set(nil)
	file, err := createEmpty(l.fsys, s.path(logSuffix))
	if err == nil && l.config.Load().Preallocate {
		if err = file.Allocate(l.config.Load().SegmentBytes); err != nil {
			err = errors.Join(err, file.Close())
		}
	}
	if err != nil {
		return nil, nil, l.undoCreateLocked(s, err)
	}
	s.setFile(file)
	d, err := l.openDurability(s)
	if err != nil {
		return nil, nil, l.undoCreateLocked(s, errors.Join(err, s.retire()))
	}
	if err := l.fsys.SyncDir(l.dir); err != nil {
		return nil, nil, errors.Join(l.fail("sync "+l.dir, err), d.close(), s.retire())
	}
	return s, d, nil
}

// undoCreateLocked removes what may be there of a new segment: the old one goes on, and its batches would run into it.
func (l *Log) undoCreateLocked(s *segment, cause error) error {
	err := l.fsys.Remove(s.path(logSuffix))
	if err == nil {
		err = l.fsys.SyncDir(l.dir)
	}
	if err != nil && !isAbsent(err) {
		return l.fail("remove a segment that could not be made", errors.Join(err, cause))
	}
	return writeError("create "+s.path(logSuffix), cause)
}

// createEmpty makes a file, in place of an empty one that a roll left behind when it failed.
func createEmpty(fsys disk.FS, name string) (disk.File, error) {
	file, err := fsys.Create(name)
	if !errors.Is(err, fs.ErrExist) {
		return file, err
	}
	if e, err := fsys.Stat(name); err != nil || e.Size != 0 {
		return nil, fmt.Errorf("%d bytes are in the way: %w", e.Size, errors.Join(fs.ErrExist, err))
	}
	return fsys.OpenWrite(name)
}

// saveProducersLocked writes the producer snapshot at the log end.
func (l *Log) saveProducersLocked() error {
	end := l.logEnd.Load()
	name := path(l.dir, end, producersSuffix)
	if err := disk.WriteAtomic(l.fsys, name, l.mu.producers.encode()); err != nil {
		return writeError("write "+name, err)
	}
	if !slices.Contains(l.mu.snapshots, end) {
		l.mu.snapshots = append(l.mu.snapshots, end)
	}
	return nil
}

func (l *Log) saveEpochsLocked() error {
	if !l.mu.unsavedEpochs {
		return nil
	}
	name := l.dir + "/" + leaderEpochName
	if err := disk.WriteAtomic(l.fsys, name, l.epochs.Load().encode()); err != nil {
		return writeError("write "+name, err)
	}
	l.mu.unsavedEpochs = false
	return nil
}

// removeSnapshotsLocked removes producer snapshots that no truncation and no recovery can need: those before the log,
// and those that are not at the beginning of a segment, except the newest.
func (l *Log) removeSnapshotsLocked() {
	list := *l.segments.Load()
	needed := func(offset int64) bool {
		i := list.find(offset)
		return i >= 0 && list[i].base == offset
	}
	newest := int64(math.MinInt64)
	if len(l.mu.snapshots) > 0 {
		newest = slices.Max(l.mu.snapshots)
	}
	l.mu.snapshots = slices.DeleteFunc(l.mu.snapshots, func(offset int64) bool {
		return offset != newest && !needed(offset) && l.removeHint(path(l.dir, offset, producersSuffix))
	})
	// Kafka's are superseded by the first of ours.
	l.mu.kafkaSnapshots = slices.DeleteFunc(l.mu.kafkaSnapshots, func(offset int64) bool {
		return newest >= offset && !needed(offset) && l.removeHint(path(l.dir, offset, kafkaSnapshotSuffix))
	})
}

// removeHint removes a file that the log can do without and says whether it is gone.
func (l *Log) removeHint(name string) bool {
	err := l.fsys.Remove(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.logger.Warn("file not removed", "path", name, "error", err)
		return false
	}
	return true
}
