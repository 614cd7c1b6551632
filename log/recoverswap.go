package log

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/internal/disk"
)

// swap is a compaction that was interrupted after the cleaned segment counted, and before it had its name.
type swap struct {
	cleaned  *segment
	replaced []*segment
}

// examineCompaction finds out where offsets may be missing, and takes the segments of interrupted compactions for those that
// they replace.
func (r *recovery) examineCompaction() (err error) {
	if r.cleaner, r.cleanerKnown, err = readCleanerState(r.options.FS, r.options.Dir); err != nil {
		return err
	}
	if r.cleanerKnown && r.cleaner == cleanerUnknown {
		r.options.Logger.Warn("cleaner checkpoint passed over", "path", r.name(cleanerName))
	}
	if !r.cleanerKnown && r.options.Config.Compacted {
		r.cleaner = cleanerUnknown // it comes from Kafka, which keeps no such file
	}
	r.swaps, err = r.directory.adoptSwaps(r.cleaner.sparse, func(s *segment) (end int64, err error) { return r.scanSealed(s) })
	return err
}

// adoptSwaps puts the segments of interrupted compactions in the list, in place of those that they cover up to the end that
// endOf says. The next segment begins there, or beyond a gap below the offset sparse.
func (d *directory) adoptSwaps(sparse int64, endOf func(s *segment) (int64, error)) (swaps []swap, err error) {
	for _, cleaned := range d.swaps {
		end, err := endOf(cleaned)
		if err != nil {
			return nil, err
		}
		next := slices.IndexFunc(d.segments, func(s *segment) bool { return s.base >= end })
		if end <= cleaned.base || next < 0 || d.segments[next].base > max(end, sparse) {
			return nil, &CorruptError{Path: cleaned.dataPath(), Position: cleaned.size.Load(), Err: fmt.Errorf(
				"a compacted segment ends at offset %d, where no segment begins", end)}
		}
		adopted := swap{cleaned: cleaned}
		var list []*segment
		for _, s := range d.segments {
			if s.base < cleaned.base {
				list = append(list, s)
			} else if s.base < end {
				adopted.replaced = append(adopted.replaced, s)
			}
		}
		list = append(list, cleaned)
		for _, s := range d.segments {
			if s.base >= end {
				list = append(list, s)
			}
		}
		d.segments = list
		swaps = append(swaps, adopted)
	}
	return swaps, nil
}

// settleCompaction finishes what was interrupted, and makes it durable where offsets may be missing in a directory that does
// not say.
func (r *recovery) settleCompaction() error {
	for _, s := range r.swaps {
		if err := r.finishSwap(s); err != nil {
			return fmt.Errorf("finish the compaction of %s: %w", s.cleaned.dataPath(), err)
		}
	}
	if r.cleaner != cleanerUnknown {
		return nil
	}
	r.cleaner.sparse = r.end.offset
	return disk.WriteAtomic(r.options.FS, r.name(cleanerName), r.cleaner.encode())
}

func (r *recovery) finishSwap(s swap) error {
	fsys, cleaned := r.options.FS, s.cleaned
	// The first one's indexes too, be its batches gone already.
	replaced := append([]*segment{newSegment(fsys, r.options.Dir, cleaned.base, 0)}, s.replaced...)
	if err := removeReplaced(fsys, cleaned.base, replaced); err != nil {
		return err
	}
	if err := fsys.SyncDir(r.options.Dir); err != nil {
		return err
	}
	if err := fsys.Rename(cleaned.dataPath(), cleaned.path(logSuffix)); err != nil {
		return err
	}
	r.told.FilesRemoved += len(s.replaced)
	cleaned.mu.swap = false
	r.options.Logger.Info("interrupted compaction finished", "path", filepath.Join(r.options.Dir, fileName(cleaned.base, logSuffix)),
		"segments", len(s.replaced))
	return fsys.SyncDir(r.options.Dir)
}
