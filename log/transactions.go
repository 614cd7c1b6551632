package log

import (
	"cmp"
	"errors"
	"slices"
)

// AbortedTransaction is a producer's transaction that was aborted: its records in [FirstOffset, LastOffset] are void.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
	LastOffset  int64 // of the marker
}

// OpenTransaction returns the first offset of the producer's open transaction, if it has one.
func (l *Log) OpenTransaction(producerID int64) (firstOffset int64, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mu.producers.entries[producerID]
	if e == nil || !e.open() {
		return 0, false
	}
	return e.txnFirst, true
}

// Producer returns the state of a producer, if it is known.
func (l *Log) Producer(producerID int64) (Producer, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.mu.producers.entries[producerID]
	if e == nil {
		return Producer{}, false
	}
	return e.view(), true
}

// FirstUnstable is the first offset of the earliest transaction that is open, or whose marker lies at or above committed, and
// not less than the log start; math.MaxInt64: there is none. What lies below it and below committed is stable.
// committed never goes back, except after Truncate. It costs a few nanoseconds and waits for no append or sync.
func (l *Log) FirstUnstable(committed int64) int64 {
	return max(l.unstable.Load().first(committed), l.logStart.Load())
}

// AbortedTransactions returns the aborted transactions that have a record, or their marker, in [from, to), by FirstOffset.
// Only those that were decided are known: ask for what is stable. ErrClosed; a *CorruptError says where a segment cannot be read.
func (l *Log) AbortedTransactions(from, to int64) ([]AbortedTransaction, error) {
	if !l.transacted.Load() {
		return nil, nil
	}
	var found []AbortedTransaction
	for next := from; ; {
		list := *l.segments.Load()
		i := max(list.find(next), 0)
		if !list[i].acquire() {
			if l.closed.Load() {
				return nil, ErrClosed
			}
			continue // it has been replaced or deleted meanwhile, in the list first
		}
		entries, err := l.abortedIn(list[i])
		if err = errors.Join(err, list[i].release()); err != nil {
			return nil, err
		}
		after, _ := slices.BinarySearchFunc(entries, next, func(e abortedEntry, offset int64) int {
			return cmp.Compare(e.LastOffset, offset)
		})
		complete := i+1 == len(list)
		for _, e := range entries[after:] {
			if e.FirstOffset < to {
				found = append(found, e.AbortedTransaction)
			}
			// What is decided later begins there or beyond.
			complete = complete || e.lastStable >= to
		}
		if complete {
			break
		}
		next = list[i+1].base
	}
	slices.SortFunc(found, func(a, b AbortedTransaction) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return found, nil
}
