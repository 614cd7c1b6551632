package state

import (
	"bytes"
	"slices"
)

// slotOrder has the slots that are not clean in the order of their keys, once somebody has asked for it: as sorted runs, each at least
// twice as long as the next one, and a tail that is not sorted yet. Runs are never changed, so whoever reads them may go on.
type slotOrder struct {
	kept bool
	runs [][]uint32
	tail []uint32
}

func (r *slotOrder) add(n uint32) {
	if r.kept {
		r.tail = append(r.tail, n)
	}
}

func (r *slotOrder) forget() { *r = slotOrder{} }

// sorted returns the runs, with all that was added.
func (r *slotOrder) sorted(key func(n uint32) []byte) [][]uint32 {
	if len(r.tail) == 0 {
		return r.runs
	}
	run := slices.Clone(r.tail)
	r.tail = r.tail[:0]
	slices.SortFunc(run, func(a, b uint32) int { return bytes.Compare(key(a), key(b)) })
	runs := slices.Clone(r.runs)
	for len(runs) > 0 && len(runs[len(runs)-1]) < 2*len(run) {
		run = mergeRuns(runs[len(runs)-1], run, key)
		runs = runs[:len(runs)-1]
	}
	r.runs = append(runs, run)
	return r.runs
}

func mergeRuns(a, b []uint32, key func(n uint32) []byte) []uint32 {
	merged := make([]uint32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if bytes.Compare(key(a[0]), key(b[0])) < 0 {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	return append(append(merged, a...), b...)
}
