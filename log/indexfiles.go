package log

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/millrace/millrace/internal/disk"
)

// indexChunk is how many new entries of the active segment's indexes are gathered before they go to the file.
const indexChunk = 512

// load returns the segment's indexes: those in memory, else those in the files if they hold what they promise, else
// ones made from the batches. rebuilt counts the files that were missing or wrong. The caller holds a reference.
func (s *segment) load() (x *indexes, rebuilt int, err error) {
	if x := s.indexes.Load(); x != nil {
		return x, 0, nil
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	if x := s.indexes.Load(); x != nil {
		return x, 0, nil
	}
	file, err := s.open()
	if err != nil {
		return nil, 0, err
	}
	x, rebuilt = s.readIndexFiles(file)
	if rebuilt > 0 {
		if x, err = buildIndexes(file, s.base, s.size.Load(), defaultIndexInterval); err != nil {
			return nil, 0, err
		}
	}
	s.indexes.Store(x)
	return x, rebuilt, nil
}

// defaultIndexInterval is the spacing of entries in an index that is made anew for a sealed segment.
const defaultIndexInterval = 4096

// readIndexFiles returns the indexes in the files; rebuilt is how many of them cannot be believed.
func (s *segment) readIndexFiles(file disk.File) (x *indexes, rebuilt int) {
	size := s.size.Load()
	offsetData, offsetErr := disk.ReadFile(s.fsys, s.path(indexSuffix))
	timeData, timeErr := disk.ReadFile(s.fsys, s.path(timeIndexSuffix))
	offsets, offsetsOK := parseOffsetEntries(offsetData, size)
	times, timesOK := parseTimeEntries(timeData)
	if offsetErr != nil || !offsetsOK || !s.offsetEntryHolds(file, offsets) {
		rebuilt++
	}
	if timeErr != nil || !timesOK || rebuilt == 0 && !s.timeEntriesHold(file, offsets, times) {
		rebuilt++
	}
	if rebuilt > 0 {
		return nil, rebuilt
	}
	x = newIndexes(offsets, times)
	if last, ok := x.times.last(); ok {
		x.maxTimestamp.Store(last.timestampMs)
		x.maxOffset.Store(s.base + int64(last.relative))
	}
	return x, 0
}

// offsetEntryHolds says whether the last entry points to the batch that it names. The others are checked when used.
func (s *segment) offsetEntryHolds(file disk.File, offsets []offsetEntry) bool {
	if len(offsets) == 0 {
		return true
	}
	h := openHeaders(file)
	defer h.close()
	return s.entryHolds(h, offsets[len(offsets)-1])
}

func (s *segment) entryHolds(h *headers, e offsetEntry) bool {
	header, _, err := h.at(int64(e.position), s.size.Load())
	return err == nil && header.LastOffset() == s.base+int64(e.relative)
}

// timeEntriesHold says whether the last entry has the timestamp of the batch that it names, and no later batch has a
// larger one: a time index that lost its end would hide the records there from every look-up by time.
func (s *segment) timeEntriesHold(file disk.File, offsets []offsetEntry, times []timeEntry) bool {
	last := timeEntry{timestampMs: -1, relative: -1}
	if len(times) > 0 {
		last = times[len(times)-1]
	}
	var from int64
	if e, ok := floorOffset(offsets, int64(last.relative)); ok {
		from = int64(e.position)
	}
	found := len(times) == 0
	holds := true
	err := walkHeaders(file, from, s.size.Load(), func(header headerView, _, _ int64) bool {
		if header.LastOffset() == s.base+int64(last.relative) {
			found = header.MaxTimestampMs() == last.timestampMs
		}
		holds = header.MaxTimestampMs() <= last.timestampMs || header.Count() == 0
		return holds
	})
	return err == nil && found && holds
}

// buildIndexes makes the indexes of the batches in the first size bytes of file.
func buildIndexes(file disk.File, base, size, intervalBytes int64) (*indexes, error) {
	b := indexBuilder{base: base, intervalBytes: intervalBytes, indexes: newIndexes(nil, nil)}
	err := walkHeaders(file, 0, size, func(header headerView, position, batchSize int64) bool {
		b.add(header, position, batchSize)
		return true
	})
	if err != nil {
		return nil, err
	}
	b.indexes.noteTime(base)
	return b.indexes, nil
}

// indexBuilder makes indexes as appending the batches would have.
type indexBuilder struct {
	base          int64
	intervalBytes int64
	indexes       *indexes
	sinceEntry    int64
}

func (b *indexBuilder) add(header headerView, position, size int64) {
	x := b.indexes
	x.noteMax(header)
	if b.sinceEntry > b.intervalBytes {
		x.offsets.append(offsetEntry{relative: int32(header.LastOffset() - b.base), position: int32(position)})
		x.noteTime(b.base)
		b.sinceEntry = 0
	}
	b.sinceEntry += size
}

// saveIndexEntriesLocked appends the newest entries of the active segment's indexes to their files, once there are
// enough. A failure is of no concern: sealing the segment writes what is missing, and says so if it cannot.
func (l *Log) saveIndexEntriesLocked() {
	active := &l.mu.active
	x := active.segment.indexes.Load()
	if x.offsets.len()-active.savedOffsets < indexChunk {
		return
	}
	if err := l.writeIndexEntriesLocked(); err != nil {
		l.logger.Debug("index entries not saved yet", "base", active.segment.base, "error", err)
	}
}

func (l *Log) writeIndexEntriesLocked() error {
	active := &l.mu.active
	x := active.segment.indexes.Load()
	if err := l.openIndexFilesLocked(); err != nil {
		return err
	}
	offsets, times := x.offsets.all(), x.times.all()
	data := appendOffsetEntries(nil, offsets[active.savedOffsets:])
	if _, err := active.offsetsFile.WriteAt(data, int64(active.savedOffsets)*offsetEntrySize); err != nil {
		return err
	}
	active.savedOffsets = len(offsets)
	data = appendTimeEntries(nil, times[active.savedTimes:])
	if _, err := active.timesFile.WriteAt(data, int64(active.savedTimes)*timeEntrySize); err != nil {
		return err
	}
	active.savedTimes = len(times)
	return nil
}

// sealIndexesLocked completes the active segment's index files and makes them durable.
func (l *Log) sealIndexesLocked() error {
	active := &l.mu.active
	x := active.segment.indexes.Load()
	x.noteTime(active.segment.base)
	if err := l.writeIndexEntriesLocked(); err != nil {
		return writeError("write indexes of "+active.segment.path(logSuffix), err)
	}
	if err := sealFile(active.offsetsFile, int64(active.savedOffsets)*offsetEntrySize); err != nil {
		return err
	}
	if err := sealFile(active.timesFile, int64(active.savedTimes)*timeEntrySize); err != nil {
		return err
	}
	return l.sealAbortedLocked()
}

// sealFile gives a file its exact size and makes it durable.
func sealFile(file disk.File, size int64) error {
	if err := file.Truncate(size); err != nil {
		return fmt.Errorf("cut %s to %d bytes: %w", file.Name(), size, err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", file.Name(), err)
	}
	return nil
}

func (l *Log) openIndexFilesLocked() (err error) {
	active := &l.mu.active
	if active.offsetsFile == nil {
		if active.offsetsFile, err = openOrCreate(l.fsys, active.segment.path(indexSuffix)); err != nil {
			return err
		}
	}
	if active.timesFile == nil {
		active.timesFile, err = openOrCreate(l.fsys, active.segment.path(timeIndexSuffix))
	}
	return err
}

func (l *Log) closeIndexFilesLocked() error {
	active := &l.mu.active
	var errs []error
	for _, file := range []*disk.File{&active.offsetsFile, &active.timesFile, &active.abortedFile} {
		if *file != nil {
			errs = append(errs, (*file).Close())
			*file = nil
		}
	}
	return errors.Join(errs...)
}

func openOrCreate(fsys disk.FS, name string) (disk.File, error) {
	file, err := fsys.OpenWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fsys.Create(name)
	}
	return file, err
}
