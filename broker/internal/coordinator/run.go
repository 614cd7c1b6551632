package coordinator

import (
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/millrace/millrace/broker/internal/partition"
)

// run is the shard's goroutine: it owns the machine from now on. When it ends, everybody who waits for an answer
// learns that from ended. A machine that panics has broken one of its invariants: what it knows is not to be trusted any
// more, and that costs this shard and nothing else.
func (s *Shard[M]) run() {
	defer close(s.ended)
	defer func() {
		if value := recover(); value != nil {
			s.fail(fmt.Errorf("panic: %v\n%s", value, debug.Stack()))
		}
	}()
	news := partition.NewWaiter()
	s.partition.Subscribe(news, partition.ReadUncommitted)
	defer s.partition.Unsubscribe(news)
	timer := time.NewTimer(s.untilDeadline())
	defer timer.Stop()
	for {
		if err := s.letOut(); err != nil {
			s.fail(err)
			return
		}
		queue := s.queue
		if len(s.heldBack) >= heldBackMax {
			queue = nil
		}
		timer.Reset(s.untilDeadline())
		select {
		case r := <-queue:
			s.step(r)
		case <-timer.C:
			s.advance()
		case <-news.Poked():
		case <-s.stop:
			return
		}
	}
}

// step runs one operation.
func (s *Shard[M]) step(r *request[M]) {
	s.advance()
	s.tickets++
	ticket := s.tickets
	s.waiting[ticket] = r
	if answer := r.operation(s.machine, ticket); answer != nil {
		s.reply(ticket, answer)
	}
}

// advance tells the machine the time.
func (s *Shard[M]) advance() { s.machine.Advance(s.nowMs(), time.Now().UnixMilli()) }

// nowMs is a clock that does not follow the time of day when that is set.
func (s *Shard[M]) nowMs() int64 { return time.Since(s.began).Milliseconds() }

// untilDeadline is how long the machine can be left alone.
func (s *Shard[M]) untilDeadline() time.Duration {
	deadline := s.machine.Deadline()
	if deadline >= math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return max(0, time.Until(s.began.Add(time.Duration(deadline)*time.Millisecond)))
}

// reply holds an answer back until everything that was appended before it is committed.
func (s *Shard[M]) reply(ticket uint64, answer any) {
	r := s.waiting[ticket]
	if r == nil {
		panic(fmt.Sprintf("coordinator: ticket %d is answered twice", ticket))
	}
	delete(s.waiting, ticket)
	s.heldBack = append(s.heldBack, answered[M]{request: r, answer: answer, next: s.next})
}

// letOut sends the answers whose time has come. An error means that the others' never will.
func (s *Shard[M]) letOut() error {
	out := 0
	for _, a := range s.heldBack {
		committed, err := s.partition.Committed(a.next)
		if err != nil {
			return err
		}
		if !committed {
			break
		}
		a.request.done <- outcome{answer: a.answer}
		out++
	}
	rest := copy(s.heldBack, s.heldBack[out:])
	clear(s.heldBack[rest:])
	s.heldBack = s.heldBack[:rest]
	return nil
}

// fail ends the shard: what it knows is ahead of what will be there after a restart, or wrong, so it may not say another
// word.
func (s *Shard[M]) fail(err error) {
	s.logger.Error("coordinator shard failed", "topic", s.partition.Topic(), "partition", s.partition.Index(), "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.failure = fmt.Errorf("%w: %w", ErrFailed, err)
}
