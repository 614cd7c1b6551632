package log

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// unstable is where transactions begin that are open, or decided by a marker that is not known to be committed: what bounds the
// last stable offset. The writer adds to it while others ask.
type unstable struct {
	count atomic.Int64 // of all; without transactions nobody locks anything

	mu struct {
		sync.Mutex
		open    []int64       // first offsets, ascending
		decided []transaction // ascending by first offset; to is the marker's
	}
}

// transaction is the offsets [from, to) of a producer's transaction.
type transaction struct{ from, to int64 }

// begin notes that a transaction is open from the offset first on, which lies beyond all before.
func (u *unstable) begin(first int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.open = append(u.mu.open, first)
	u.countLocked()
}

// end notes that the transaction which begins at first was decided by the marker at the offset marker, and returns the last
// stable offset as it is when that is committed: where the first transaction begins that is still open.
func (u *unstable) end(first, marker int64) (lastStable int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i, found := slices.BinarySearch(u.mu.open, first); found {
		u.mu.open = slices.Delete(u.mu.open, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(u.mu.decided, first, func(t transaction, first int64) int { return int(t.from - first) })
	u.mu.decided = slices.Insert(u.mu.decided, i, transaction{first, marker})
	u.countLocked()
	if len(u.mu.open) > 0 {
		return u.mu.open[0]
	}
	return marker + 1
}

// first is the first offset of the earliest transaction that is open, or whose marker lies at or above committed, which never
// goes back; MaxInt64: there is none.
func (u *unstable) first(committed int64) int64 {
	if u.count.Load() == 0 {
		return math.MaxInt64
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	known := 0
	for known < len(u.mu.decided) && u.mu.decided[known].to < committed {
		known++
	}
	u.mu.decided = slices.Delete(u.mu.decided, 0, known)
	u.countLocked()
	first := int64(math.MaxInt64)
	if len(u.mu.open) > 0 {
		first = u.mu.open[0]
	}
	if len(u.mu.decided) > 0 {
		first = min(first, u.mu.decided[0].from)
	}
	return first
}

// lastOpen is where the latest transaction begins that is open, noTransaction if none is.
func (u *unstable) lastOpen() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(u.mu.open); n > 0 {
		return u.mu.open[n-1]
	}
	return noTransaction
}

func (u *unstable) countLocked() { u.count.Store(int64(len(u.mu.open) + len(u.mu.decided))) }
