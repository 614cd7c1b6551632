package engine

import (
	"math"
	"slices"
)

const never = math.MaxInt64

// timers are what a task does when time passes, of each kind of time.
type timers struct {
	stream, wall timetable
}

func newTimers() timers {
	return timers{stream: timetable{dueMs: never}, wall: timetable{dueMs: never}}
}

// OnStreamTime has f called each time that the task's stream time comes to a multiple of everyMs or passes it, once if it
// passes several, after the record that moved it. Multiples count from 1970, so that a restart changes nothing.
func (s *Site) OnStreamTime(n *Node, everyMs int64, f func(nowMs int64) error) (cancel func()) {
	dueMs := int64(math.MinInt64) // before the first record: it is the first record that says when
	if s.streamMs >= 0 {
		dueMs = following(s.streamMs, everyMs)
	}
	return s.timers.stream.add(&timer{node: n, dueMs: dueMs, fire: f,
		next: func(nowMs int64) int64 { return following(nowMs, everyMs) }})
}

// OnWallClock has f called at the first Tick that comes everyMs from now or later, and again everyMs after that.
func (s *Site) OnWallClock(n *Node, everyMs int64, f func(nowMs int64) error) (cancel func()) {
	return s.timers.wall.add(&timer{node: n, dueMs: s.nowMs + everyMs, fire: f,
		next: func(nowMs int64) int64 { return nowMs + everyMs }})
}

// following returns the first multiple of everyMs behind ms.
func following(ms, everyMs int64) int64 { return (ms/everyMs + 1) * everyMs }

// timetable is the timers of one kind of time. They are few: a scan finds those that are due.
type timetable struct {
	timers []*timer
	dueMs  int64 // when the first of them is due
}

type timer struct {
	node      *Node
	dueMs     int64
	next      func(nowMs int64) int64
	fire      func(nowMs int64) error
	cancelled bool
}

func (t *timetable) add(added *timer) (cancel func()) {
	t.timers = append(t.timers, added)
	t.dueMs = min(t.dueMs, added.dueMs)
	return func() { added.cancelled = true }
}

// run fires what is due. A timer that is added meanwhile has its turn with the next call.
func (t *timetable) run(nowMs int64, m *Meta) error {
	for _, one := range slices.Clone(t.timers) {
		isNew := one.dueMs == math.MinInt64
		if one.cancelled || one.dueMs > nowMs {
			continue
		}
		one.dueMs = one.next(nowMs)
		if isNew {
			continue
		}
		m.At = one.node
		if err := one.fire(nowMs); err != nil {
			return err
		}
	}
	t.timers = slices.DeleteFunc(t.timers, func(one *timer) bool { return one.cancelled })
	t.dueMs = never
	for _, one := range t.timers {
		t.dueMs = min(t.dueMs, one.dueMs)
	}
	return nil
}
