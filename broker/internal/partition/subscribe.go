package partition

// Waiter waits for news of any of the partitions that it subscribes to: one long poll.
// Its methods and fields belong to one goroutine; the partitions only poke it.
type Waiter struct {
	poked chan struct{}
}

// NewWaiter returns a waiter with no subscription.
func NewWaiter() *Waiter { return &Waiter{poked: make(chan struct{}, 1)} }

// Poked receives one value after there was news. There may have been several pieces of it, and what the waiter looks
// for may still not be there: the receiver looks again.
func (w *Waiter) Poked() <-chan struct{} { return w.poked }

func (w *Waiter) poke() {
	select {
	case w.poked <- struct{}{}:
	default:
	}
}

// Subscribe has w poked whenever the end of what a consumer with this isolation reads moves, or the log start, or the
// partition fails or is closed. A second subscription takes the place of the first.
// A caller that has read before subscribing reads once more after it, or it misses what came between.
// A closed or offline partition pokes at once.
func (p *Partition) Subscribe(w *Waiter, isolation Isolation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log == nil || p.mu.closed {
		w.poke()
		return
	}
	if p.mu.subscribers == nil {
		p.mu.subscribers = make(map[*Waiter]Isolation)
	}
	p.mu.subscribers[w] = isolation
}

// Unsubscribe ends the subscription of w; it is no error if there is none.
func (p *Partition) Unsubscribe(w *Waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.subscribers, w)
}

// pokeLocked wakes those who read up to the end that has moved.
func (p *Partition) pokeLocked(moved Isolation) {
	for w, isolation := range p.mu.subscribers {
		if isolation == moved {
			w.poke()
		}
	}
}

func (p *Partition) pokeAllLocked() {
	for w := range p.mu.subscribers {
		w.poke()
	}
}

// releaseLocked wakes everybody who waits for something that will not come.
func (p *Partition) releaseLocked() {
	for i, w := range p.mu.waiters {
		w.wake()
		p.mu.waiters[i] = nil
	}
	p.mu.waiters = p.mu.waiters[:0]
	p.pokeAllLocked()
}
