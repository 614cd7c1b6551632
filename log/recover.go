package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/internal/disk"
)

// recovery finds out what a directory holds (examine: changes nothing on disk) and then puts it in order (settle).
type recovery struct {
	options   Options
	directory *directory
	marks     syncMarks
	told      Recovery

	checkpoint      checkpoint
	checkpointKnown bool // there is one and it can be read
	cleaner         cleanerState
	cleanerKnown    bool
	swaps           []swap
	markKnown       bool
	hasTopicID      bool
	floor           place // all before it was durable
	failed          bool  // what lies beyond the floor may be in the page cache only, and count as clean there

	logStart    int64
	end         place
	torn        int64 // bytes after end in the last segment
	epochs      epochs
	epochsSaved bool // the file says the same
	replay      replay
	rebuilt     []*segment // with index files that were missing or wrong
}

func (r *recovery) name(file string) string { return filepath.Join(r.options.Dir, file) }

// examine looks at the directory and decides.
func (r *recovery) examine() (err error) {
	if r.directory, err = listDirectory(r.options.FS, r.options.Dir); err != nil {
		return err
	}
	if r.hasTopicID, err = checkTopicID(r.options.FS, r.options.Dir, r.options.TopicID); err != nil {
		return err
	}
	if n := len(r.directory.segments); n > 0 {
		r.directory.segments[n-1].setWritable(true)
	}
	if err := r.readCheckpoint(); err != nil {
		return err
	}
	if err := r.examineCompaction(); err != nil {
		return err
	}
	if r.closedInOrder() {
		r.told.Clean = true
		r.logStart, r.end = r.checkpoint.logStart, r.checkpoint.recovery
	} else if err := r.examineAfterCrash(); err != nil {
		return err
	}
	r.directory.dropSnapshotsAfter(r.end.offset)
	if err := r.readEpochs(); err != nil {
		return err
	}
	r.replay, err = loadProducers(r.options.FS, r.options.Dir, r.directory, r.end.offset, r.options.NowMs, r.options.Logger)
	return err
}

func (r *recovery) readCheckpoint() error {
	data, err := disk.ReadFile(r.options.FS, r.name(checkpointName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.checkpoint, err = decodeCheckpoint(data)
	if errors.Is(err, ErrNewerFormat) {
		return fmt.Errorf("%s: %w", r.name(checkpointName), err)
	}
	if err != nil {
		r.options.Logger.Warn("checkpoint passed over", "path", r.name(checkpointName), "error", err)
		return nil
	}
	r.checkpointKnown = true
	return nil
}

// closedInOrder says whether the last Close was in order and nothing has changed since.
func (r *recovery) closedInOrder() bool {
	c, segments := r.checkpoint, r.directory.segments
	if !r.checkpointKnown || !c.clean || len(segments) == 0 {
		return false
	}
	last := segments[len(segments)-1]
	return last.base == c.recovery.segment && last.size.Load() == c.recovery.position && listSum(segments) == c.list &&
		segments[0].base <= c.logStart
}

func (r *recovery) examineAfterCrash() error {
	mark, known, err := readSyncMark(r.options.FS, r.name(syncMarkName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", r.name(syncMarkName), err)
	}
	r.markKnown = known
	r.floor, r.logStart = r.checkpoint.recovery, r.checkpoint.logStart
	if known {
		r.logStart = max(r.logStart, mark.logStart)
		r.failed = mark.failed
		// A cut moves the mark back, and the checkpoint before it.
		if mark.durable.offset >= r.floor.offset {
			r.floor = mark.durable
		}
	}
	r.directory.dropBefore(r.logStart)
	if err := r.checkBeginning(); err != nil {
		return err
	}
	if err := r.checkSealed(); err != nil {
		return err
	}
	return r.checkLast()
}

// checkBeginning makes sure that the first segment is the one that has the log start.
func (r *recovery) checkBeginning() error {
	segments := r.directory.segments
	if len(segments) == 0 {
		if r.floor.offset > 0 || r.logStart > 0 {
			return &CorruptError{Path: r.options.Dir, Err: fmt.Errorf(
				"no segment is there, offsets [%d, %d) were durable", r.logStart, r.floor.offset)}
		}
		return nil
	}
	if first := segments[0].base; first > r.logStart {
		if r.checkpointKnown {
			return &CorruptError{Path: r.options.Dir, Err: fmt.Errorf(
				"the log begins at offset %d, the first segment at %d", r.logStart, first)}
		}
		r.logStart = first
	}
	return nil
}

// foreign says that the directory has none of our own files: it comes from Kafka.
func (r *recovery) foreign() bool { return !r.checkpointKnown && !r.markKnown }

// checkSealed makes sure that every segment but the last is whole and ends where the next one begins. The batches
// themselves are read if the directory is not ours, if the caller wants it, and in the newest sealedScanMax bytes.
func (r *recovery) checkSealed() error {
	segments := r.directory.segments
	scanLeft := sealedScanMax
	for i := len(segments) - 2; i >= 0; i-- {
		s := segments[i]
		scanLeft -= s.size.Load()
		var end int64
		var err error
		if scanLeft >= 0 || r.foreign() || r.options.VerifySealed {
			end, err = r.scanSealed(s)
		} else {
			end, err = r.sealedEnd(s)
		}
		if err != nil {
			return err
		}
		next := segments[i+1].base
		if end > next || end < next && next > r.cleaner.sparse {
			return &CorruptError{Path: s.path(logSuffix), Position: s.size.Load(), Err: fmt.Errorf(
				"the segment ends at offset %d, the next one begins at %d", end, next)}
		}
	}
	return nil
}

func (r *recovery) scanSealed(s *segment) (end int64, err error) {
	found, err := r.scan(s, nil)
	if err != nil {
		return 0, err
	}
	if found.wrong != nil {
		return 0, &CorruptError{Path: s.path(logSuffix), Position: found.end.position, Err: found.wrong}
	}
	return found.end.offset, nil
}

// sealedEnd returns the end of a sealed segment with the help of its indexes.
func (r *recovery) sealedEnd(s *segment) (end int64, err error) {
	x, rebuilt, err := s.load()
	if err != nil {
		return 0, err
	}
	if rebuilt > 0 {
		r.rebuilt = append(r.rebuilt, s)
	}
	file, err := s.open()
	if err != nil {
		return 0, err
	}
	var from int64
	if e, ok := x.offsets.last(); ok {
		from = int64(e.position)
	}
	end = s.base
	err = walkHeaders(file, from, s.size.Load(), func(header headerView, _, _ int64) bool {
		end = header.NextOffset()
		return true
	})
	return end, err
}

// checkLast reads the last segment and decides whether what does not fit at its end is torn or damaged.
func (r *recovery) checkLast() error {
	segments := r.directory.segments
	if len(segments) == 0 {
		r.end = place{}
		return nil
	}
	s := segments[len(segments)-1]
	x := newIndexes(nil, nil)
	found, err := r.scan(s, &indexBuilder{base: s.base, intervalBytes: r.options.Config.IndexIntervalBytes, indexes: x})
	if err != nil {
		return err
	}
	r.end = found.end
	r.torn = s.size.Load() - found.end.position
	if r.end.offset < r.floor.offset || s.base == r.floor.segment && r.end.position < r.floor.position {
		wrong := found.wrong
		if wrong == nil {
			wrong = errors.New("the file ends here")
		}
		return &CorruptError{Path: s.path(logSuffix), Position: r.end.position, Err: fmt.Errorf(
			"%w, offset %d was to follow, all before offset %d was durable", wrong, r.end.offset, r.floor.offset)}
	}
	if r.logStart > r.end.offset {
		return &CorruptError{Path: s.path(logSuffix), Position: r.end.position, Err: fmt.Errorf(
			"the log ends at offset %d, before its start at %d", r.end.offset, r.logStart)}
	}
	s.indexes.Store(x)
	s.size.Store(r.end.position) // from here on; the file is cut when all has been examined
	return nil
}

// readEpochs takes the leader epochs from their file and from the batches of the last segment, which the file may not
// know yet; or from all batches if there is no file that can be read.
func (r *recovery) readEpochs() error {
	segments := r.directory.segments
	known, err := readEpochFile(r.options.FS, r.name(leaderEpochName))
	saved := known
	if err != nil {
		if len(segments) > 0 && r.directory.has[leaderEpochName] {
			r.options.Logger.Warn("leader epoch checkpoint passed over", "path", r.name(leaderEpochName), "error", err)
		}
		known = nil
	} else {
		known = known.truncateEnd(r.end.offset)
		if r.told.Clean {
			segments = nil
		} else if len(segments) > 0 {
			segments = segments[len(segments)-1:]
		}
	}
	if known, err = epochsOfBatches(known, segments); err != nil {
		return err
	}
	r.epochs = known.truncateStart(r.logStart)
	r.epochsSaved = slices.Equal(saved, r.epochs)
	return nil
}

func readEpochFile(fsys disk.FS, name string) (epochs, error) {
	data, err := disk.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	return decodeEpochs(data)
}
