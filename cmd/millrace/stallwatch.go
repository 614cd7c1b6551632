package main

import "time"

// stallWatch finds out that a count no longer grows although something waits.
type stallWatch struct {
	limit time.Duration
	last  int64
	moved time.Time // when it last grew, or nothing waited
}

// stalled takes the count as it is now, and reports whether it has not changed for longer than the
// limit while something waited.
func (w *stallWatch) stalled(count int64, waiting bool, now time.Time) bool {
	if count != w.last || !waiting {
		w.last, w.moved = count, now
	}
	return now.Sub(w.moved) > w.limit
}
