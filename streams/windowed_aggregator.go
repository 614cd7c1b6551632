package streams

import (
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/windows"
)

// windowAggregator puts records to the values of their keys and windows.
type windowAggregator[K, V, A any] struct {
	place
	fold    fold[K, V, A]
	windows windows.Time
	onClose bool
	store   *state.WindowStore[K, A]
	clock   *windows.Clock
	keepMs  int64 // how much longer than needed a window stays in the store
	next    receive[windows.Key[K], A]
	late    receive[K, V]

	openMs int64 // windows that begin before it are closed, as of the present stream time
	dueMs  int64 // when openMs is past it, more windows have closed
}

func (a *windowAggregator[K, V, A]) receive(key K, value V, m *engine.Meta) error {
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
	startMs, count, stepMs := a.windows.Starts(m.TimestampMs)
	isLate := count == 0 // a time before 1970
	for range count {
		if startMs < a.openMs {
			isLate = true
		} else if err := a.put(key, startMs, value, m); err != nil {
			return err
		}
		startMs += stepMs
	}
	if !isLate {
		return nil
	}
	a.node.Drop(engine.Late)
	return a.late(key, value, m)
}

// put adds a record to one of its windows.
func (a *windowAggregator[K, V, A]) put(key K, startMs int64, value V, m *engine.Meta) error {
	entry, err := a.store.Edit(key, startMs)
	if err != nil {
		return a.failed(err, m)
	}
	var result A
	timestampMs := m.TimestampMs
	if entry.Found {
		result = a.fold.add(key, value, entry.Value)
		timestampMs = max(timestampMs, entry.TimestampMs)
	} else if result, err = a.fold.first(key, value); err != nil {
		return a.failed(err, m)
	}
	entry.Set(result, timestampMs)
	if a.onClose {
		return nil
	}
	a.node.Emitted++
	return forwardAt(a.next, windows.Key[K]{Key: key, Window: a.windows.Window(startMs)}, result, m, timestampMs)
}

// advance closes the windows that stream time has passed.
func (a *windowAggregator[K, V, A]) advance(m *engine.Meta) error {
	a.openMs = a.windows.ClosedBefore(a.clock.StreamMs())
	if a.openMs <= a.dueMs {
		return nil
	}
	closedMs := a.closedMs()
	if a.onClose {
		came := *m
		err := a.emit(closedMs, m)
		*m = came
		if err != nil {
			return err
		}
	}
	a.clock.Emitted(closedMs)
	a.dueMs = closedMs
	return a.expire()
}

// closedMs is openMs at the next start of a window: what is closed changes only there.
func (a *windowAggregator[K, V, A]) closedMs() int64 {
	everyMs := a.windows.EveryMs()
	return (a.openMs + everyMs - 1) / everyMs * everyMs
}

// emit passes on the windows that have closed since the last time, as records that nobody sent.
func (a *windowAggregator[K, V, A]) emit(closedMs int64, m *engine.Meta) error {
	for row, err := range a.store.Closed(a.clock.EmittedMs(), closedMs) {
		if err != nil {
			return a.failed(err, m)
		}
		*m = engine.Meta{TimestampMs: row.TimestampMs, At: a.node, Maker: a.node}
		a.node.Emitted++
		if err := a.next(windows.Key[K]{Key: row.Key, Window: a.windows.Window(row.StartMs)}, row.Value, m); err != nil {
			return err
		}
	}
	return nil
}

func (a *windowAggregator[K, V, A]) expire() error {
	return a.store.Expire(max(0, a.clock.EmittedMs()-a.keepMs))
}

// start takes away what a restore has brought back of windows that are gone.
func (a *windowAggregator[K, V, A]) start() error {
	a.openMs = a.windows.ClosedBefore(a.clock.StreamMs())
	return a.expire()
}

// idle lets time pass without records.
func (a *windowAggregator[K, V, A]) idle(nowMs int64) error {
	if !a.clock.Idle(nowMs) {
		return nil
	}
	return a.advance(&engine.Meta{At: a.node})
}
