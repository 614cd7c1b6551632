package log

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/internal/disk"
)

// Open opens the log in a directory, or makes an empty one. After a crash it first finds out how much of the log is
// whole: what was never made durable is cut off, set aside and told in Recovery; damage to what was durable is a
// *CorruptError, and then nothing on disk has changed. Opening twice does what opening once does.
//
// A directory of Kafka's opens too. It is read as a whole, because it does not say what was durable.
//
// Other errors: ErrNewerFormat, a topic id that is not the directory's, and whatever the file system returns.
func Open(o Options) (*Log, Recovery, error) {
	if err := o.validate(); err != nil {
		return nil, Recovery{}, fmt.Errorf("open log %s: %w", o.Dir, err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := recovery{options: o}
	err := r.examine()
	if err == nil {
		err = r.settle()
	}
	if err != nil {
		r.abandon()
		return nil, Recovery{}, fmt.Errorf("open log %s: %w", o.Dir, err)
	}
	return r.log(), r.told, nil
}

// log makes the Log of what was found.
func (r *recovery) log() *Log {
	seed := fnv.New64a()
	seed.Write([]byte(r.options.Dir))
	l := &Log{fsys: r.options.FS, dir: r.options.Dir, logger: r.options.Logger, jitterSeed: seed.Sum64()}
	l.config.Store(&r.options.Config)
	l.cleaner.Store(&r.cleaner)
	if l.tellDirectRefused = r.options.DirectRefused; l.tellDirectRefused == nil {
		l.tellDirectRefused = func(err error) {
			l.logger.Warn("the file system has no direct writes: they are buffered", "dir", l.dir, "error", err)
		}
	}
	list := segmentList(r.directory.segments)
	l.segments.Store(&list)
	l.epochs.Store(&r.epochs)
	l.logStart.Store(r.logStart)
	l.durable.Store(r.end.offset)
	l.logEnd.Store(r.end.offset)
	list.active().boundaries.setEnd(r.end.offset, r.end.position)
	l.mu.active = activeState{segment: list.active(), firstTimestampMs: -1, createdMs: -1}
	l.mu.producers = r.replay.producers
	l.unstable.Store(l.mu.producers.unstable)
	l.transacted.Store(slices.ContainsFunc(list, (*segment).mayHaveAborted))
	l.mu.snapshots = r.directory.snapshots
	l.mu.kafkaSnapshots = r.directory.kafkaSnapshots
	l.mu.clean = r.told.Clean
	l.mu.unsavedEpochs = !r.epochsSaved
	l.marks.mu.file = r.marks.mu.file
	l.marks.mu.newest = r.marks.mu.newest
	return l
}

// abandon lets go of the files after an error.
func (r *recovery) abandon() {
	_ = r.marks.close()
	if r.directory != nil {
		for _, s := range r.directory.segments {
			_ = s.retire()
		}
	}
}

// changeLocked comes before any change on disk: from here on the log is no longer one that was closed in order.
func (l *Log) changeLocked() error {
	if err := l.marks.open(l.fsys, l.dir); err != nil {
		return writeError("open "+syncMarkName, err)
	}
	if !l.mu.clean {
		return nil
	}
	if err := l.writeCheckpointLocked(false); err != nil {
		return err
	}
	l.mu.clean = false
	return nil
}

// openForAppendLocked makes the active segment ready to be written.
func (l *Log) openForAppendLocked() error {
	active := &l.mu.active
	if active.durability != nil {
		return nil
	}
	if err := l.changeLocked(); err != nil {
		return err
	}
	s := active.segment
	x, _, err := s.load()
	if err != nil {
		return err
	}
	file, err := s.open()
	if err != nil {
		return err
	}
	if size := s.size.Load(); size > 0 {
		h := openHeaders(file)
		defer h.close()
		first, _, err := h.at(0, size)
		if err != nil {
			return damage(file.Name(), 0, err)
		}
		active.firstTimestampMs = first.MaxTimestampMs()
		active.bytesSinceIndex = size
		if e, ok := x.offsets.last(); ok {
			active.bytesSinceIndex = size - int64(e.position)
		}
	}
	if _, err := s.aborted.load(func() ([]abortedEntry, error) { return l.finderLocked().find(s) }); err != nil {
		return err
	}
	active.durability, err = l.openDurability(s)
	return err
}

// sealLocked makes the log one that was closed in order.
func (l *Log) sealLocked() error {
	if err := l.openForAppendLocked(); err != nil {
		return err
	}
	if err := l.saveAllLocked(); err != nil {
		return err
	}
	l.removeSnapshotsLocked()
	if err := l.marks.sync(); err != nil {
		return fmt.Errorf("sync %s: %w", syncMarkName, err)
	}
	return l.writeCheckpointLocked(true)
}

// writeCheckpointLocked replaces the checkpoint; on return it is durable.
func (l *Log) writeCheckpointLocked(clean bool) error {
	c := checkpoint{clean: clean, logStart: l.logStart.Load(), recovery: l.mu.recovery, list: listSum(*l.segments.Load())}
	if end := l.endLocked(); end.offset == l.durable.Load() {
		c.recovery = end
	}
	name := filepath.Join(l.dir, checkpointName)
	if err := disk.WriteAtomic(l.fsys, name, c.encode()); err != nil {
		return writeError("write "+name, err)
	}
	l.mu.recovery = c.recovery
	return nil
}

// open opens the file for writing, made if it does not exist, and goes on from its newest slot.
func (s *syncMarks) open(fsys disk.FS, dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.file != nil {
		return nil
	}
	name := filepath.Join(dir, syncMarkName)
	newest, ok, err := readSyncMark(fsys, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := openOrCreate(fsys, name)
	if err != nil {
		return err
	}
	s.mu.file = file
	if ok {
		s.mu.newest = newest
	}
	return nil
}

// epochsOfBatches collects the leader epochs of the batches in the segments, from the first one given on.
func epochsOfBatches(known epochs, segments []*segment) (epochs, error) {
	for _, s := range segments {
		file, err := s.open()
		if err != nil {
			return nil, err
		}
		err = walkHeaders(file, 0, s.size.Load(), func(header headerView, _, _ int64) bool {
			known = known.assign(header.PartitionLeaderEpoch(), header.BaseOffset())
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return known, nil
}
