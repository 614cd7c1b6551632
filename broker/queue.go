package broker

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

// inFlightMax is how many requests of one connection may wait for their answers. Only Produce waits there.
const inFlightMax = 256

// slot is one request's place among the answers of its connection.
type slot struct {
	api           *api
	started       time.Time
	handled       time.Time     // when its handler returned
	queued        time.Duration // before the handler began
	parked        time.Duration // waiting for something to happen
	requestBytes  int32
	version       int16
	correlationID int32
	reply         reply
}

// queue holds the answers of a connection that are not ready, and whatever comes behind them. Its goroutine, the
// connection's writer, is started by the first of them.
type queue struct {
	conn   *conn
	writer sync.WaitGroup

	mu struct {
		sync.Mutex
		slots    []slot
		spare    []slot // the writer's last batch, to be filled again
		inFlight int    // slots that were pushed and not yet written
		closed   bool
		err      error // why the writer gave up
		started  bool
	}
	filled  sync.Cond // the writer waits for slots
	drained sync.Cond // the reader waits for room
}

func (q *queue) init(c *conn) {
	q.conn = c
	q.filled.L, q.drained.L = &q.mu.Mutex, &q.mu.Mutex
}

// empty reports whether all answers that were pushed are written: then the connection is the reader's to write to.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.inFlight == 0
}

// inFlightNow is how many answers are not written yet.
func (q *queue) inFlightNow() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.inFlight
}

// wait returns when all answers are written.
func (q *queue) wait(ctx context.Context) error { return q.waitBelow(ctx, 1) }

// waitForRoom returns when one more answer may be pushed.
func (q *queue) waitForRoom(ctx context.Context) error { return q.waitBelow(ctx, inFlightMax) }

func (q *queue) waitBelow(ctx context.Context, limit int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.mu.inFlight >= limit && !q.mu.closed && q.mu.err == nil && ctx.Err() == nil {
		q.drained.Wait()
	}
	if q.mu.err != nil {
		return q.mu.err
	}
	return ctx.Err()
}

// push hands s to the writer.
func (q *queue) push(s slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed || q.mu.err != nil {
		s.reply.release()
		return
	}
	if !q.mu.started {
		q.mu.started = true
		q.writer.Go(q.write)
	}
	q.mu.slots = append(q.mu.slots, s)
	q.mu.inFlight++
	q.filled.Signal()
}

// wake lets whoever waits look at its context again.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.filled.Broadcast()
	q.drained.Broadcast()
}

// close drops what was not written and waits for the writer.
func (q *queue) close() {
	q.mu.Lock()
	q.mu.closed = true
	q.filled.Broadcast()
	q.mu.Unlock()
	q.writer.Wait()
	for _, s := range q.mu.slots {
		s.reply.release()
	}
}

// write is the writer: it takes what has gathered, waits for it in order, and writes as much as it can at once.
func (q *queue) write() {
	for {
		batch := q.take()
		if batch == nil {
			return
		}
		if err := q.writeBatch(batch); err != nil {
			q.fail(err)
			return
		}
	}
}

// take returns the slots that wait, nil when the queue is closed.
func (q *queue) take() []slot {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.mu.slots) == 0 && !q.mu.closed {
		q.filled.Wait()
	}
	if q.mu.closed {
		return nil
	}
	batch := q.mu.slots
	q.mu.slots, q.mu.spare = q.mu.spare[:0], nil
	return batch
}

func (q *queue) writeBatch(batch []slot) error {
	answers := &q.conn.answers
	added, finished := 0, 0
	defer func() {
		for i := added; i < len(batch); i++ {
			batch[i].reply.release()
		}
	}()
	for i := range batch {
		r := &batch[i].reply
		if r.later != nil && r.ready != nil && !r.ready() {
			// It will be a while: what is ready goes out first.
			if err := answers.flush(); err != nil {
				return err
			}
			q.finish(added - finished)
			finished = added
		}
		if err := q.resolve(&batch[i]); err != nil {
			return err
		}
		added++
		if err := answers.add(batch[i], q.conn.server.metrics); err != nil {
			return err
		}
	}
	if err := answers.flush(); err != nil {
		return err
	}
	q.reuse(batch)
	q.finish(added - finished)
	return nil
}

// resolve waits for an answer that comes later, and keeps its panic from other connections.
func (q *queue) resolve(s *slot) (err error) {
	r := &s.reply
	if r.later == nil {
		return nil
	}
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	r.response, r.later = r.later(q.conn.ctx), nil
	s.parked += time.Since(s.handled)
	return q.conn.ctx.Err()
}

// finish tells the reader that count answers are written.
func (q *queue) finish(count int) {
	if count == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.inFlight -= count
	q.drained.Signal()
}

// reuse keeps the memory of batch for slots to come.
func (q *queue) reuse(batch []slot) {
	clear(batch)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.spare = batch
}

// failure is why the writer gave up, nil if it did not.
func (q *queue) failure() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.err
}

// fail gives up: the reader is told, and woken if it waits for the client.
func (q *queue) fail(err error) {
	q.mu.Lock()
	q.mu.err = err
	q.drained.Broadcast()
	q.mu.Unlock()
	q.conn.close()
}
