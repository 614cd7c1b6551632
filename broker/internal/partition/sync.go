package partition

import (
	"context"
	"time"
)

// Syncs bounds how many partitions of a broker sync their logs at the same time, and tells about each sync.
// A nil *Syncs is unbounded and silent. Safe for concurrent use.
type Syncs struct {
	slots   chan struct{}
	observe func(took time.Duration, err error)
}

// NewSyncs returns a bound of so many concurrent syncs (at least 1). observe is called after each one, by the
// goroutine that synced; nil is allowed.
func NewSyncs(limit int, observe func(took time.Duration, err error)) *Syncs {
	return &Syncs{slots: make(chan struct{}, max(limit, 1)), observe: observe}
}

// run calls sync within the bound.
func (s *Syncs) run(sync func() (int64, error)) (durable int64, err error) {
	if s == nil {
		return sync()
	}
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	if s.observe == nil {
		return sync()
	}
	begin := time.Now()
	durable, err = sync()
	s.observe(time.Since(begin), err)
	return durable, err
}

// wakeCommitterLocked starts the committer unless it runs.
func (p *Partition) wakeCommitterLocked() {
	if p.mu.committing || p.mu.closed || p.mu.failed != nil {
		return
	}
	p.mu.committing = true
	p.committer.Go(p.commit)
}

// commit syncs the log until nothing is left that somebody waits for: what is appended while a sync runs is the next
// sync's group. There is no fixed window to wait for; the sync is the window.
func (p *Partition) commit() {
	for {
		durable, err := p.sync()
		p.mu.Lock()
		p.syncedLocked(durable, err)
		if p.mu.failed != nil || p.mu.closed || !p.syncDueLocked() {
			p.mu.committing = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

// syncedLocked takes over what a sync said.
func (p *Partition) syncedLocked(durable int64, err error) {
	if err != nil {
		p.failLocked(err)
		return
	}
	p.mu.durable = max(p.mu.durable, durable)
	// The sync may have covered an append whose own goroutine has not told its end yet.
	p.mu.logEnd = max(p.mu.logEnd, p.mu.durable)
	p.advanceLocked()
}

// sync makes durable what was appended before the call.
func (p *Partition) sync() (int64, error) {
	p.syncCount.Add(1)
	return p.options.Syncs.run(p.log.Sync)
}

// syncDueLocked says whether the committer has work: in commit mode whatever is not durable.
func (p *Partition) syncDueLocked() bool {
	switch config := p.config.Load(); config.Flush {
	case FlushCommit:
		return p.mu.logEnd > p.mu.durable
	case FlushInterval:
		return config.FlushMessages > 0 && p.mu.logEnd-p.mu.durable >= config.FlushMessages
	}
	return false
}

// failLocked makes the partition stop acknowledging.
func (p *Partition) failLocked(err error) {
	if p.mu.failed != nil || p.mu.closed {
		return
	}
	p.mu.failed = err
	p.options.Logger.Error("partition acknowledges nothing more: its log could not be synced",
		"topic", p.options.Topic, "partition", p.options.Index, "err", err,
		"high_watermark", p.mu.highWatermark, "log_end", p.mu.logEnd)
	p.releaseLocked()
}

// commitWaiter waits in AwaitCommitted. The partition keeps a few for reuse.
type commitWaiter struct {
	next  int64
	woken chan struct{} // capacity 1
}

// maxIdleWaiters bounds the waiters that a partition keeps for reuse.
const maxIdleWaiters = 16

// Committed says without waiting whether everything below next is committed. It returns an error if it never will be.
func (p *Partition) Committed(next int64) (bool, error) {
	if p.log == nil {
		return false, p.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.committedLocked(next)
}

func (p *Partition) committedLocked(next int64) (bool, error) {
	switch {
	case p.mu.highWatermark >= next:
		return true, nil
	case p.mu.failed != nil:
		return false, p.failureLocked()
	case p.mu.closed:
		return false, p.errorf("await commit", ErrClosed)
	}
	return false, nil
}

// AwaitCommitted returns nil once everything below next is committed. It returns ErrFailed or ErrClosed if that will
// not happen any more, and ctx's error if ctx ends first: then the append may still be committed later.
func (p *Partition) AwaitCommitted(ctx context.Context, next int64) error {
	if p.log == nil {
		return p.Err()
	}
	p.mu.Lock()
	done, err := p.committedLocked(next)
	if done || err != nil {
		p.mu.Unlock()
		return err
	}
	w := p.addWaiterLocked(next)
	p.mu.Unlock()

	var ctxErr error
	select {
	case <-w.woken:
	case <-ctx.Done():
		ctxErr = ctx.Err()
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropWaiterLocked(w)
	if done, err := p.committedLocked(next); done || err != nil {
		return err
	}
	return ctxErr
}

func (p *Partition) addWaiterLocked(next int64) *commitWaiter {
	var w *commitWaiter
	if n := len(p.mu.idle); n > 0 {
		w = p.mu.idle[n-1]
		p.mu.idle = p.mu.idle[:n-1]
	} else {
		w = &commitWaiter{woken: make(chan struct{}, 1)}
	}
	w.next = next
	p.mu.waiters = append(p.mu.waiters, w)
	return w
}

// dropWaiterLocked forgets w, which may have been woken already.
func (p *Partition) dropWaiterLocked(w *commitWaiter) {
	for i, other := range p.mu.waiters {
		if other == w {
			p.removeWaiterLocked(i)
			break
		}
	}
	select {
	case <-w.woken:
	default:
	}
	if len(p.mu.idle) < maxIdleWaiters {
		p.mu.idle = append(p.mu.idle, w)
	}
}

func (p *Partition) removeWaiterLocked(i int) {
	last := len(p.mu.waiters) - 1
	p.mu.waiters[i] = p.mu.waiters[last]
	p.mu.waiters[last] = nil
	p.mu.waiters = p.mu.waiters[:last]
}

// wakeCommittedLocked wakes those whose records are committed.
func (p *Partition) wakeCommittedLocked() {
	for i := 0; i < len(p.mu.waiters); {
		if w := p.mu.waiters[i]; w.next <= p.mu.highWatermark {
			w.wake()
			p.removeWaiterLocked(i)
		} else {
			i++
		}
	}
}

func (w *commitWaiter) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}
