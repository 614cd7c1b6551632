package log

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// mayBeMissing says whether compaction may have taken away the offsets right before this one.
func (i *inspection) mayBeMissing(offset int64) (bool, error) {
	if offset <= i.cleaner.sparse {
		return true, nil
	}
	sparse, err := i.sparse()
	return offset <= sparse, err
}

// sparse is the offset below which any may be missing, as of now: a broker may be compacting.
func (i *inspection) sparse() (int64, error) {
	if i.options.Compacted {
		return math.MaxInt64, nil
	}
	var err error
	i.cleaner, _, err = readCleanerState(i.options.FS, i.options.Dir)
	return i.cleaner.sparse, err
}

// adoptSwaps takes the segments of compactions that are not finished for those that they replace, as the next start does.
func (i *inspection) adoptSwaps() error {
	sparse, err := i.sparse()
	if err != nil {
		return err
	}
	swaps, err := i.directory.adoptSwaps(sparse, func(s *segment) (end int64, err error) {
		file, err := i.options.FS.Open(s.dataPath())
		if err != nil {
			return 0, err
		}
		defer file.Close()
		err = walkHeaders(file, 0, s.size.Load(), func(header headerView, _, _ int64) bool {
			end = header.NextOffset()
			return true
		})
		return end, err
	})
	if vanished(err) {
		return nil // finished meanwhile
	}
	if err != nil {
		return i.find(Damage, i.options.Dir, -1, fmt.Sprintf("a compaction was interrupted, and cannot be finished: %v", err), restoreRemedy)
	}
	for _, s := range swaps {
		err := i.find(Note, s.cleaned.dataPath(), -1,
			fmt.Sprintf("a compaction of %d segments is not finished: a broker is at it, or the next start finishes it", len(s.replaced)), noRemedy)
		if err != nil {
			return err
		}
	}
	return nil
}

// replacedMeanwhile says whether a compaction has put another segment in the place of this one, or is about to: then its
// indexes are not those of the batches that were read.
func (w *segmentInspection) replacedMeanwhile() bool {
	if w.last {
		return false
	}
	entries, err := w.options.FS.List(w.options.Dir)
	if err != nil {
		return false
	}
	names := map[string]int64{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name, swapSuffix) {
			return true
		}
		names[e.Name] = e.Size
	}
	size, there := names[fileName(w.segment.base, logSuffix)]
	if !there || size != w.size {
		return true
	}
	return slices.ContainsFunc(w.indexes.problems, func(p indexProblem) bool {
		_, there := names[fileName(w.segment.base, p.suffix)]
		return there && p.problem == indexMissing
	})
}
