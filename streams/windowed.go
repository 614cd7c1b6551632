package streams

import (
	"math"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
	"github.com/millrace/millrace/windows"
)

// Windowed is a grouped stream that is put together by key and tumbling or hopping window.
type Windowed[K, V any] struct {
	stream   Stream[K, V]
	windows  windows.Time
	emission windows.Emission
	late     *lateRecords[K, V]
}

// Window puts the records of each key together by window, in event time: stream time is the highest timestamp that the operator
// has seen in its partition, and it outlives restarts. A window takes records until stream time is the grace past its end.
func (g Grouped[K, V]) Window(of windows.Time) Windowed[K, V] {
	return Windowed[K, V]{stream: g.stream, windows: of, late: &lateRecords[K, V]{of: g.stream.port}}
}

// Emit sets when results are passed on: at each update, which is the default, or once for each window when it has closed, in the
// order of their ends and then of their keys' bytes.
func (w Windowed[K, V]) Emit(emission windows.Emission) Windowed[K, V] {
	w.emission = emission
	return w
}

// Late returns the records that came too late for at least one of their windows, as they were, and those that were too far
// ahead of the wall clock for [windows.Time.MaxAhead]. They are counted at the operator as late and ahead whether this is
// called or not. A record that hopping windows in part still take is in those, and here.
func (w Windowed[K, V]) Late() Stream[K, V] { return w.late.stream() }

// Count counts the records of each key and window.
func (w Windowed[K, V]) Count(store state.Window[K, int64]) WindowedTable[K, int64] {
	return aggregateWindows(w, "count", store, counting[K, V]())
}

// Reduce keeps one value per key and window, as [Grouped.Reduce] does.
func (w Windowed[K, V]) Reduce(store state.Window[K, V], reduce func(aggregate, value V) V) WindowedTable[K, V] {
	return aggregateWindows(w, "reduce", store, reducing[K](store.ValueCodec(), reduce))
}

// AggregateWindows keeps a value per key and window, as [Aggregate] does.
func AggregateWindows[K, V, A any](w Windowed[K, V], store state.Window[K, A], init func() A,
	add func(key K, value V, aggregate A) A,
) WindowedTable[K, A] {
	return aggregateWindows(w, "aggregate", store, aggregating(init, add))
}

// WindowedTable is the values of keys in windows.
type WindowedTable[K, V any] struct {
	results *port[windows.Key[K], V]
}

// WindowsToStream returns the results of windows as a stream. The timestamp of a result is the highest of its records. With
// sessions, one that another has swallowed is a record without a value, ahead of the one that swallowed it.
//
// [serde.Windowed] is the codec for such keys.
func WindowsToStream[K, V any](t WindowedTable[K, V]) Stream[windows.Key[K], V] {
	return Stream[windows.Key[K], V]{t.results}
}

func aggregateWindows[K, V, A any](w Windowed[K, V], operator string, store state.Window[K, A], fold fold[K, V, A]) WindowedTable[K, A] {
	t, of := w.stream.port.of(), w.windows
	if err := of.Err(); err != nil {
		t.fail(store.Name(), "%w", err)
	}
	store = store.WithRetention(retention(store.RetentionMs(), of.RetentionMs()))
	if !own(t, store, of.Grace(0).Idle(0).MaxAhead(0).String()) {
		return WindowedTable[K, A]{newPort[windows.Key[K], A](t, w.stream.port.node)}
	}
	described := graph.Node{Name: storeNode(t, store.Name()), Operator: operator, Stores: []string{store.Name()}}
	var self *graph.Node
	results := connect(w.stream.port, described,
		func(b *build, node *engine.Node, next receive[windows.Key[K], A]) (receive[K, V], error) {
			opened, err := state.OpenWindow(b.site.DB(), store)
			if err != nil {
				return nil, err
			}
			if w.stream.port.rekeyed == "" {
				b.site.OnAhead(store.KeyCodec(), opened.Warm)
			}
			late, err := w.late.receiver(b, self)
			if err != nil {
				return nil, err
			}
			a := &windowAggregator[K, V, A]{
				place: place{b.site, node}, fold: fold, windows: of, onClose: w.emission == windows.OnClose,
				store: opened, clock: b.site.Clock(store.Name(), of.IdleAfter(), of.AheadAtMost()),
				keepMs: max(0, store.RetentionMs()-of.RetentionMs()), next: next, late: late,
			}
			b.site.OnStart(a.start)
			b.site.OnIdle(node, a.idle)
			return a.receive, nil
		}, fold.given...)
	self = results.node
	results.rekeyed = self.Name
	w.late.from(self)
	return WindowedTable[K, A]{results}
}

// retention is how long a store keeps windows: as long as was asked for, at least as long as they need. 0 is that, for those that
// need more than a Duration can say.
func retention(askedMs, neededMs int64) time.Duration {
	keptMs := max(askedMs, neededMs)
	if keptMs > math.MaxInt64/int64(time.Millisecond) {
		return 0
	}
	return time.Duration(keptMs) * time.Millisecond
}
