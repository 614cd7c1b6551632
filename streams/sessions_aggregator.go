package streams

import (
	"slices"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/windows"
)

// sessionAggregator puts records to the values of sessions, and makes one of those that a record connects.
type sessionAggregator[K, V, A any] struct {
	place
	fold     fold[K, V, A]
	merge    func(key K, a, b A) A
	sessions windows.Session
	onClose  bool
	store    *state.SessionStore[K, A]
	clock    *windows.Clock
	keepMs   int64 // how much longer than needed a session stays in the store
	next     receive[windows.Key[K], A]
	late     receive[K, V]

	openMs   int64 // sessions that end before it are closed, as of the present stream time
	closedMs int64 // those that end before it have been passed on, if there were any

	joined []state.SessionOf[A] // those that the record in hand belongs to
}

func (a *sessionAggregator[K, V, A]) receive(key K, value V, m *engine.Meta) error {
	m.Enter(a.node)
	if leftOut(a.node, m) {
		return nil
	}
	if a.clock.Observe(m.TimestampMs, a.site.NowMs()) == windows.Ahead {
		a.node.Drop(engine.Ahead)
		return a.late(key, value, m)
	}
	if behindMs := a.clock.StreamMs() - m.TimestampMs; behindMs > 0 {
		a.node.Lateness.Observe(behindMs)
	} else if err := a.advance(m); err != nil {
		return err
	}
	all, err := a.store.Get(key)
	if err != nil {
		return a.failed(err, m)
	}
	others, whole := a.join(all, m.TimestampMs)
	if m.TimestampMs < 0 || whole.EndMs < a.openMs {
		a.node.Drop(engine.Late)
		return a.late(key, value, m)
	}
	result, err := a.value(key, value)
	if err != nil {
		return a.failed(err, m)
	}
	if err := a.store.Put(key, with(others, whole, result), whole.EndMs); err != nil {
		return a.failed(err, m)
	}
	if a.onClose {
		return nil
	}
	return a.update(key, result, whole, m)
}

// join takes from a key's sessions those that a record belongs to, into joined. It returns the others and the session that the
// record makes with the joined ones. There are some only if the record is not late: what is closed joins nothing.
func (a *sessionAggregator[K, V, A]) join(all []state.SessionOf[A], timestampMs int64) (others []state.SessionOf[A], whole windows.Window) {
	others, whole, a.joined = all[:0], a.sessions.At(timestampMs), a.joined[:0]
	for _, one := range all {
		if timestampMs >= 0 && one.EndMs >= a.openMs && a.sessions.Touches(span(one), timestampMs) {
			a.joined = append(a.joined, one)
			whole = windows.Merge(whole, span(one))
		} else {
			others = append(others, one)
		}
	}
	return others, whole
}

// value is that of the joined sessions and a record.
func (a *sessionAggregator[K, V, A]) value(key K, value V) (A, error) {
	if len(a.joined) == 0 {
		return a.fold.first(key, value)
	}
	all := a.joined[0].Value
	for _, more := range a.joined[1:] {
		all = a.merge(key, all, more.Value)
	}
	return a.fold.add(key, value, all), nil
}

// with adds a session where its start belongs.
func with[A any](others []state.SessionOf[A], whole windows.Window, value A) []state.SessionOf[A] {
	at := len(others)
	for at > 0 && others[at-1].StartMs > whole.StartMs {
		at--
	}
	return slices.Insert(others, at, state.SessionOf[A]{StartMs: whole.StartMs, EndMs: whole.EndMs, TimestampMs: whole.EndMs, Value: value})
}

// update passes on what a record has made of the sessions: those that are gone are taken away first.
func (a *sessionAggregator[K, V, A]) update(key K, result A, whole windows.Window, m *engine.Meta) error {
	m.NoValue = true
	for _, gone := range a.joined {
		if span(gone) == whole {
			continue
		}
		var none A
		a.node.Emitted++
		if err := forwardAt(a.next, windows.Key[K]{Key: key, Window: span(gone)}, none, m, gone.EndMs); err != nil {
			return err
		}
	}
	m.NoValue = false
	a.node.Emitted++
	return forwardAt(a.next, windows.Key[K]{Key: key, Window: whole}, result, m, whole.EndMs)
}

// advance closes the sessions that stream time has passed.
func (a *sessionAggregator[K, V, A]) advance(m *engine.Meta) error {
	a.openMs = a.sessions.ClosedBefore(a.clock.StreamMs())
	if a.openMs <= a.closedMs {
		return nil
	}
	came := *m
	closed, err := a.close(m)
	*m = came
	if err != nil || !closed {
		return err
	}
	a.clock.Emitted(a.openMs)
	return a.expire()
}

// close passes on the sessions that have closed since the last time, in the order of their ends. It reports whether there were
// any: when nothing has closed, nothing else may change, since how often this is called depends on restarts.
func (a *sessionAggregator[K, V, A]) close(m *engine.Meta) (closed bool, err error) {
	for row, err := range a.store.Closed(a.closedMs, a.openMs) {
		if err != nil {
			return closed, a.failed(err, m)
		}
		closed = true
		if !a.onClose {
			continue
		}
		*m = engine.Meta{TimestampMs: row.EndMs, At: a.node, Maker: a.node}
		a.node.Emitted++
		if err := a.next(windows.Key[K]{Key: row.Key, Window: span(row.SessionOf)}, row.Value, m); err != nil {
			return closed, err
		}
	}
	a.closedMs = a.openMs
	return closed, nil
}

func (a *sessionAggregator[K, V, A]) expire() error {
	return a.store.Expire(max(0, a.clock.EmittedMs()-a.keepMs))
}

// start takes away what a restore has brought back of sessions that are gone.
func (a *sessionAggregator[K, V, A]) start() error {
	a.openMs = a.sessions.ClosedBefore(a.clock.StreamMs())
	a.closedMs = a.clock.EmittedMs()
	return a.expire()
}

// idle lets time pass without records.
func (a *sessionAggregator[K, V, A]) idle(nowMs int64) error {
	if !a.clock.Idle(nowMs) {
		return nil
	}
	return a.advance(&engine.Meta{At: a.node})
}

func span[A any](s state.SessionOf[A]) windows.Window {
	return windows.Window{StartMs: s.StartMs, EndMs: s.EndMs}
}
