package broker

import (
	"context"
	"sync"
)

// budget is memory that requests under way may take in all. Who wants more than is left waits in line.
// Its methods are safe for concurrent use.
type budget struct {
	limit int64 // bytes

	mu struct {
		sync.Mutex
		used    int64
		waiters []*budgetWaiter // first come, first served
	}
}

type budgetWaiter struct {
	bytes   int64
	granted chan struct{}
}

func newBudget(limit int64) *budget { return &budget{limit: limit} }

// tryAcquire takes bytes, or all there is if that is less, and returns what it took. ok is false, and nothing is
// taken, if they are not free.
func (b *budget) tryAcquire(bytes int64) (taken int64, ok bool) {
	bytes = min(bytes, b.limit)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.mu.waiters) > 0 || b.mu.used+bytes > b.limit {
		return 0, false
	}
	b.mu.used += bytes
	return bytes, true
}

// acquire is tryAcquire that waits until the bytes are free or ctx ends.
func (b *budget) acquire(ctx context.Context, bytes int64) (int64, error) {
	bytes = min(bytes, b.limit)
	w := &budgetWaiter{bytes: bytes, granted: make(chan struct{})}
	b.mu.Lock()
	b.mu.waiters = append(b.mu.waiters, w)
	b.grantLocked()
	b.mu.Unlock()

	select {
	case <-w.granted:
		return bytes, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.mu.waiters {
		if other == w {
			b.mu.waiters = append(b.mu.waiters[:i], b.mu.waiters[i+1:]...)
			b.grantLocked()
			return 0, ctx.Err()
		}
	}
	return bytes, nil // granted meanwhile
}

// release gives bytes back.
func (b *budget) release(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.used -= bytes
	b.grantLocked()
}

func (b *budget) grantLocked() {
	for len(b.mu.waiters) > 0 {
		w := b.mu.waiters[0]
		if b.mu.used+w.bytes > b.limit {
			return
		}
		b.mu.used += w.bytes
		b.mu.waiters = b.mu.waiters[1:]
		close(w.granted)
	}
}

// contended reports whether anybody waits for bytes.
func (b *budget) contended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.mu.waiters) > 0
}

// used is what is taken now, in bytes.
func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.used
}

// requestMemory is the memory that all requests under way may take (queued.max.request.bytes). Small requests have
// some of their own beside it: heartbeats and fetches go on while large requests wait for room, or for a client that
// sends slowly.
//
// Answers are not in it. Their size is known only once they are built, and a handler that waited then, with what it has
// built in its hands, could wait for others that do the same. They are bounded otherwise: a connection builds one at a
// time, records are sent from the file, and max.connections bounds the connections. What is left is the largest
// Metadata answer times as many clients as ask for it at once.
type requestMemory struct {
	large *budget
	small *budget
}

const (
	// smallRequestMax is the largest request, in bytes, that counts as small.
	smallRequestMax = inPlaceMax
	// smallShare is how much the small requests have, as a part of queued.max.request.bytes: an eighth.
	smallShare = 8
)

func newRequestMemory(limit int64) requestMemory {
	return requestMemory{large: newBudget(limit), small: newBudget(max(limit/smallShare, 1))}
}

// of is the budget that a request of size bytes takes from.
func (m *requestMemory) of(size int32) *budget {
	if size <= smallRequestMax {
		return m.small
	}
	return m.large
}

// used is what is taken now, in bytes.
func (m *requestMemory) used() int64 { return m.large.used() + m.small.used() }

// reservation is what one request has taken of a budget. It belongs to one goroutine.
type reservation struct {
	budget *budget // nil: nothing is taken
	bytes  int64
}

// shrink gives back all but so many bytes.
func (r *reservation) shrink(bytes int64) {
	if bytes < r.bytes {
		r.budget.release(r.bytes - bytes)
		r.bytes = bytes
	}
}

// release gives everything back. A second release does nothing.
func (r *reservation) release() {
	if r.budget != nil {
		r.budget.release(r.bytes)
		*r = reservation{}
	}
}
