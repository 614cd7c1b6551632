package log

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/internal/disk"
)

// settle puts the directory in order. Whatever it does, doing it again after a crash in the middle comes to the same.
func (r *recovery) settle() error {
	if !r.told.Clean && len(r.directory.segments) == 0 {
		return r.create()
	}
	if err := r.settleCompaction(); err != nil {
		return err
	}
	if err := r.removeLeftovers(); err != nil {
		return err
	}
	if err := r.settleAborted(); err != nil || r.told.Clean {
		return err
	}
	if err := r.cutTorn(); err != nil {
		return err
	}
	if err := r.settleIndexes(); err != nil {
		return err
	}
	return r.settleOwnFiles()
}

// settleOwnFiles makes what was found durable and says so in the checkpoint and the sync mark.
func (r *recovery) settleOwnFiles() error {
	last := r.directory.segments[len(r.directory.segments)-1]
	file, err := last.open()
	if err != nil {
		return err
	}
	if r.failed {
		if err := r.writeAgain(file, last.base); err != nil {
			return err
		}
	}
	if err := file.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", file.Name(), err)
	}
	if err := r.marks.open(r.options.FS, r.options.Dir); err != nil {
		return err
	}
	if !r.hasTopicID {
		if err := disk.WriteAtomic(r.options.FS, r.name(partitionMetadataName), encodeTopicID(r.options.TopicID)); err != nil {
			return err
		}
	}
	if !r.checkpointKnown || r.checkpoint.clean || r.checkpoint.logStart != r.logStart {
		c := checkpoint{logStart: r.logStart, recovery: r.end, list: listSum(r.directory.segments)}
		if err := disk.WriteAtomic(r.options.FS, r.name(checkpointName), c.encode()); err != nil {
			return err
		}
	}
	if err := r.marks.advance(r.end, r.logStart); err != nil {
		return err
	}
	for _, s := range r.directory.segments {
		if err := s.closeIdle(); err != nil {
			return err
		}
	}
	return r.options.FS.SyncDir(r.options.Dir)
}

// writeAgain makes the pages of the last segment beyond the floor dirty again. A segment before it is durable: it was
// synced before the next one was begun.
func (r *recovery) writeAgain(file disk.File, base int64) error {
	position := int64(0)
	if base == r.floor.segment {
		position = min(r.floor.position, r.end.position)
	}
	buffer := make([]byte, min(scanBuffer, r.end.position-position))
	for position < r.end.position {
		part := buffer[:min(int64(len(buffer)), r.end.position-position)]
		if n, err := file.ReadAt(part, position); n < len(part) {
			return fmt.Errorf("read %s at %d: %w", file.Name(), position, err)
		}
		if _, err := file.WriteAt(part, position); err != nil {
			return fmt.Errorf("write %s again at %d: %w", file.Name(), position, err)
		}
		position += int64(len(part))
	}
	return nil
}

// create makes an empty log.
func (r *recovery) create() error {
	o := r.options
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return err
	}
	if err := r.removeLeftovers(); err != nil {
		return err
	}
	s := newSegment(o.FS, o.Dir, 0, 0)
	s.indexes.Store(newIndexes(nil, nil))
	s.aborted.set(nil)
	file, err := o.FS.Create(s.path(logSuffix))
	if err != nil {
		return err
	}
	if o.Config.Preallocate {
		if err := file.Allocate(o.Config.SegmentBytes); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	s.mu.file, s.mu.writable = file, true
	r.directory.segments = append(r.directory.segments, s)
	r.cleaner = cleanerState{dueMs: -1}
	if err := r.settleOwnFiles(); err != nil {
		return err
	}
	return o.FS.SyncDir(filepath.Dir(o.Dir))
}

func (r *recovery) removeLeftovers() error {
	for _, name := range r.directory.leftovers {
		if err := r.options.FS.Remove(r.name(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove leftover %s: %w", r.name(name), err)
		}
		r.told.FilesRemoved++
	}
	return nil
}

// cutTorn sets the torn tail aside and cuts it off. Zeros, which direct writes leave behind the valid end, are only cut.
func (r *recovery) cutTorn() error {
	last := r.directory.segments[len(r.directory.segments)-1]
	if r.torn == 0 {
		return nil
	}
	zeros, err := r.setAside(last)
	if err != nil {
		return err
	}
	file, err := last.open()
	if err != nil {
		return err
	}
	if err := file.Truncate(r.end.position); err != nil {
		return fmt.Errorf("cut %s at %d: %w", file.Name(), r.end.position, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", file.Name(), err)
	}
	if zeros {
		r.told.ZeroBytes = r.torn
		return nil
	}
	r.told.TornBytes, r.told.TornPosition = r.torn, r.end.position
	r.options.Logger.Warn("torn tail cut off", "path", file.Name(), "position", r.end.position, "bytes", r.torn,
		"next_offset", r.end.offset, "set_aside", r.told.TornFile)
	return nil
}

// setAside copies the torn tail, up to tornFileMax of it, to a file of its own, for whoever wants to know what it was.
// Zeros say nothing, and a full disk must not keep the log from opening.
func (r *recovery) setAside(last *segment) (zeros bool, err error) {
	file, err := last.open()
	if err != nil {
		return false, err
	}
	tail := make([]byte, min(r.torn, tornFileMax))
	if n, err := file.ReadAt(tail, r.end.position); n < len(tail) {
		return false, fmt.Errorf("read torn tail of %s: %w", file.Name(), err)
	}
	if len(bytes.TrimLeft(tail, "\x00")) == 0 {
		return true, nil
	}
	name := fmt.Sprintf("%s.%d%s", fileName(last.base, ""), r.end.position, tornSuffix)
	for len(r.directory.torn) >= tornFilesMax && !slices.Contains(r.directory.torn, name) {
		if err := r.options.FS.Remove(r.name(r.directory.torn[0])); err != nil {
			return false, err
		}
		r.directory.torn = r.directory.torn[1:]
	}
	err = disk.WriteAtomic(r.options.FS, r.name(name), tail)
	if outOfRoom(err) {
		r.options.Logger.Warn("no room to set the torn tail aside", "path", r.name(name), "error", err)
		return false, nil
	}
	r.told.TornFile = r.name(name)
	return false, err
}

// settleIndexes makes the index files agree with the batches.
func (r *recovery) settleIndexes() error {
	segments := r.directory.segments
	last := segments[len(segments)-1]
	for _, s := range r.rebuilt {
		if err := r.rewriteIndexes(s, false); err != nil {
			return err
		}
	}
	for _, s := range segments[:len(segments)-1] {
		// They are loaded again by whoever reads there.
		s.indexes.Store(nil)
	}
	return r.rewriteIndexes(last, true)
}

// rewriteIndexes replaces the index files of a segment that do not hold what they should; for the active segment the
// beginning of it will do.
func (r *recovery) rewriteIndexes(s *segment, active bool) error {
	x := s.indexes.Load()
	for _, index := range []struct {
		suffix string
		data   []byte
	}{
		{indexSuffix, appendOffsetEntries(nil, x.offsets.all())},
		{timeIndexSuffix, appendTimeEntries(nil, x.times.all())},
	} {
		name := s.path(index.suffix)
		found, err := disk.ReadFile(r.options.FS, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if active && bytes.HasPrefix(index.data, found) || err == nil && bytes.Equal(index.data, found) {
			continue
		}
		err = disk.WriteAtomic(r.options.FS, name, index.data)
		if outOfRoom(err) {
			r.options.Logger.Warn("no room to rebuild an index", "path", name, "error", err)
			continue
		}
		if err != nil {
			return err
		}
		r.told.IndexesRebuilt++
	}
	return nil
}
