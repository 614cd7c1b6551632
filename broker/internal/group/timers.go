package group

import (
	"container/heap"
	"math"
)

// timer is one deadline in a State's queue. Heartbeats move deadlines away all the time, so a later deadline only
// changes deadlineMs; the queue finds out when the old one is due.
type timer struct {
	deadlineMs int64
	queuedMs   int64 // the deadline that the queue is ordered by, <= deadlineMs
	position   int   // in the queue, -1 while not queued
	sequence   uint64
	fire       func()
}

// timerQueue is a heap by queuedMs, and by age where those are equal, so that runs repeat exactly.
type timerQueue []*timer

func (q timerQueue) Len() int { return len(q) }

func (q timerQueue) Less(i, j int) bool {
	if q[i].queuedMs != q[j].queuedMs {
		return q[i].queuedMs < q[j].queuedMs
	}
	return q[i].sequence < q[j].sequence
}

func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].position, q[j].position = i, j
}

func (q *timerQueue) Push(x any) {
	t := x.(*timer)
	t.position = len(*q)
	*q = append(*q, t)
}

func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.position = -1
	return t
}

// newTimer returns a timer that is not set.
func newTimer(fire func()) *timer { return &timer{position: -1, fire: fire} }

// schedule sets t to fire delayMs from now, whatever it was set to before.
func (s *State) schedule(t *timer, delayMs int64) {
	t.deadlineMs = s.nowMs + delayMs
	switch {
	case t.position < 0:
		s.timerSequence++
		t.sequence = s.timerSequence
		t.queuedMs = t.deadlineMs
		heap.Push(&s.timers, t)
	case t.deadlineMs < t.queuedMs:
		t.queuedMs = t.deadlineMs
		heap.Fix(&s.timers, t.position)
	}
}

// cancel makes t not fire.
func (s *State) cancel(t *timer) {
	if t.position >= 0 {
		heap.Remove(&s.timers, t.position)
	}
}

// Advance sets the time and does what is due. nowMs runs the deadlines and must never go down (a monotonic clock);
// wallMs is what goes into records and what retention is measured by, and may jump. It must be called before every
// other method, with the time of the call.
func (s *State) Advance(nowMs, wallMs int64) {
	s.nowMs = max(s.nowMs, nowMs)
	s.wallMs = wallMs
	for len(s.timers) > 0 && s.timers[0].queuedMs <= s.nowMs {
		t := s.timers[0]
		if t.deadlineMs > s.nowMs {
			t.queuedMs = t.deadlineMs
			heap.Fix(&s.timers, 0)
			continue
		}
		heap.Pop(&s.timers)
		t.fire()
	}
}

// Deadline is when Advance has to be called next at the latest, on the clock of nowMs; math.MaxInt64 for never.
// It may be early, never late.
func (s *State) Deadline() int64 {
	if len(s.timers) == 0 {
		return math.MaxInt64
	}
	return s.timers[0].queuedMs
}
