package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// worker is the goroutine that processes the partitions of one lane, one batch at a time.
type worker struct {
	group *Group
	wake  chan struct{} // one token: there may be something to do
	done  chan struct{} // closed when the goroutine has ended

	mu struct {
		sync.Mutex
		partitions []*Partition
		next       int  // which partition's turn it is
		halted     bool // begin nothing new
		ended      bool // end
		stuck      bool // nobody waits for it any more
		running    context.Context
		halt       context.CancelFunc // ends running
		assigning  *Partition         // whose Assigned runs
		processing *Partition         // whose Process runs
		idle       chan struct{}      // closed, and replaced, whenever one of the two ends
	}
}

func newWorker(g *Group) *worker {
	w := &worker{group: g, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.mu.idle = make(chan struct{})
	w.mu.running, w.mu.halt = context.WithCancel(context.Background())
	go w.run()
	return w
}

// poke makes the worker look for something to do.
func (w *worker) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run works until end, which waits for it.
func (w *worker) run() {
	defer close(w.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		do, pause := w.next(time.Now())
		switch {
		case do != nil:
			do()
		case pause < 0:
			return
		default:
			timer.Reset(pause)
			select {
			case <-w.wake:
			case <-timer.C:
			}
		}
	}
}

// restMax is how long a worker waits that has nothing to do and is not waked.
const restMax = time.Hour

// next returns what to do, or how long to wait; -1: for ever. What a partition has to do at a time comes before more records.
func (w *worker) next(now time.Time) (do func(), pause time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.ended {
		return nil, -1
	}
	if w.mu.halted {
		return nil, restMax
	}
	do, pause = w.timedLocked(now)
	if do != nil {
		return do, 0
	}
	for i := range w.mu.partitions {
		at := (w.mu.next + i) % len(w.mu.partitions)
		p := w.mu.partitions[at]
		if p.ctx.Err() != nil || p.holdUntil.After(now) || p.processor == nil || p.held || len(p.queue) == 0 {
			continue
		}
		w.mu.next = at + 1
		batch := p.cutLocked(w.group.options.BatchRecords)
		w.mu.processing = p
		return func() { w.process(p, batch) }, 0
	}
	return nil, pause
}

// timedLocked returns an assignment or a tick that is due, or else how long none will be.
func (w *worker) timedLocked(now time.Time) (do func(), pause time.Duration) {
	pause = restMax
	for _, p := range w.mu.partitions {
		switch {
		case p.ctx.Err() != nil:
			continue
		case p.fresh: // also during the pause before a retry, which is a good time to restore state
			p.fresh, w.mu.assigning = false, p
			return func() { w.assign(p) }, 0
		case p.holdUntil.After(now):
			pause = min(pause, p.holdUntil.Sub(now))
			continue
		}
		ticker, is := p.processor.(Ticker)
		switch {
		case is && p.tickAt.After(now):
			pause = min(pause, p.tickAt.Sub(now))
		case is:
			p.tickAt = now.Add(w.group.options.TickInterval)
			w.mu.processing = p
			return func() { w.tick(p, ticker, now) }, 0
		}
	}
	return nil, pause
}

func (w *worker) assign(p *Partition) {
	var processor Processor
	err := guard(func() (err error) {
		processor, err = w.group.options.Handler.Assigned(p.ctx, p)
		return err
	})
	w.mu.Lock()
	if err == nil {
		p.processor = processor
	}
	taken := p.ctx.Err() != nil
	w.mu.assigning = nil
	w.idleLocked()
	w.mu.Unlock()
	if err != nil && !taken {
		w.group.fail(fmt.Errorf("assign %v: %w", p.TopicPartition, err))
	}
}

func (w *worker) idleLocked() {
	close(w.mu.idle)
	w.mu.idle = make(chan struct{})
}

func (w *worker) process(p *Partition, batch *Batch) {
	var err error
	if len(batch.Records) > 0 {
		err = guard(func() error { return p.processor.Process(p.ctx, batch) })
	}
	if err == nil {
		w.settle(p, func() {
			p.failures.passed(batch.Next)
			p.progress.advance(batch.Next, batch.leaderEpoch)
			if len(batch.Records) == 0 {
				p.tickAt = time.Time{}
			}
		})
		w.group.processed(len(batch.Records))
		return
	}
	w.failed(p, batch, err)
}

// failed stores what is done of the batch, puts the rest back for another try, and tells the group.
func (w *worker) failed(p *Partition, batch *Batch, err error) {
	stop := errors.Is(err, ErrStop)
	partial := batch.done > 0 && (stop || !w.group.outlet.IsTransactional())
	failure := Failure{Partition: p.TopicPartition, Offset: batch.first(), Err: err}
	if partial {
		failure.Offset = batch.Records[batch.done-1].Offset + 1
	}
	failure.Attempt = p.failures.again(failure.Offset)
	err = fmt.Errorf("process %v at offset %d: %w", failure.Partition, failure.Offset, err)
	if p.ctx.Err() != nil { // nobody waits for it any more
		w.settle(p, func() {})
		return
	}
	var pause time.Duration
	again := false
	if retry := w.group.options.Retry; retry != nil && !stop {
		pause, again = retry(failure)
	}
	if w.group.outlet.IsTransactional() {
		err = w.spoil(batch, err)
	}
	w.settle(p, func() {
		if partial {
			last := batch.Records[batch.done-1]
			p.progress.advance(last.Offset+1, last.LeaderEpoch)
		}
		if !again { // Run ends, and the offset of what comes next would cover this batch
			w.mu.ended = true
			return
		}
		p.holdUntil = time.Now().Add(pause)
		switch {
		case w.group.outlet.IsTransactional():
			p.cancel() // there is nothing to do until the transaction is undone
		case len(batch.Records) > 0:
			p.putBackLocked(batch)
		}
	})
	if again {
		w.group.retry(err)
	} else {
		w.group.fail(err)
	}
}

// spoil has the transaction of a failed batch aborted, before anybody may take the batch for processed, and returns the failure.
// ErrStop is none, unless the transaction has records then that come of no record that is done.
func (w *worker) spoil(batch *Batch, err error) error {
	if errors.Is(err, ErrStop) {
		if batch.Partition.produced.Load() == batch.covered {
			return err
		}
		err = fmt.Errorf("process %v: %w", batch.Partition.TopicPartition, errNotCovered)
	}
	w.group.outlet.spoil(err)
	return err
}

var errNotCovered = errors.New("records were produced that Batch.Done does not cover, when ErrStop came")

// settle ends the call of Process.
func (w *worker) settle(p *Partition, change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	w.mu.processing = nil
	w.idleLocked()
}

// halt lets the worker begin nothing new; release undoes it.
func (w *worker) halt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.halted = true
	w.mu.halt()
}

func (w *worker) release() {
	w.mu.Lock()
	w.mu.halted = false
	w.mu.running, w.mu.halt = context.WithCancel(context.Background())
	for _, p := range w.mu.partitions {
		p.tickAt = time.Time{}
	}
	w.mu.Unlock()
	w.poke()
}

// rest waits until no Process runs, or ctx ends; then it returns false.
func (w *worker) rest(ctx context.Context) bool {
	return w.await(ctx, func() bool { return w.mu.processing == nil })
}

// interrupt ends the contexts of all partitions and waits until nothing runs that they were given to.
func (w *worker) interrupt() {
	w.mu.Lock()
	partitions := slices.Clone(w.mu.partitions)
	w.mu.Unlock()
	for _, p := range partitions {
		w.take(p)
	}
}

// await waits until what is guarded by mu meets a condition, or the worker is stuck.
func (w *worker) await(ctx context.Context, condition func() bool) bool {
	for {
		w.mu.Lock()
		met, idle := w.mu.stuck || condition(), w.mu.idle
		w.mu.Unlock()
		if met {
			return true
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return false
		}
	}
}

func (w *worker) add(p *Partition) {
	w.mu.Lock()
	w.mu.partitions = append(w.mu.partitions, p)
	w.mu.Unlock()
	w.poke()
}

// remove forgets a partition, of which nothing may run, and returns how many are left.
func (w *worker) remove(p *Partition) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.partitions = slices.DeleteFunc(w.mu.partitions, func(other *Partition) bool { return other == p })
	return len(w.mu.partitions)
}

// end ends the goroutine and waits for it, unless it is stuck.
func (w *worker) end() {
	w.mu.Lock()
	w.mu.ended = true
	stuck := w.mu.stuck
	w.mu.Unlock()
	w.poke()
	if !stuck {
		<-w.done
	}
}
