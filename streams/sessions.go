package streams

import (
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
	"github.com/millrace/millrace/windows"
)

// SessionWindowed is a grouped stream that is put together by key and session: records of a key that follow each other within
// the gap.
type SessionWindowed[K, V any] struct {
	stream   Stream[K, V]
	sessions windows.Session
	emission windows.Emission
	late     *lateRecords[K, V]
}

// Sessions puts the records of each key together by session, in event time. A record that lies between two sessions may make
// one of them. A session takes records until stream time is more than the gap and the grace past its end; from then on it
// never changes, and a record that comes near it begins another one, if it is not late itself.
func (g Grouped[K, V]) Sessions(of windows.Session) SessionWindowed[K, V] {
	return SessionWindowed[K, V]{stream: g.stream, sessions: of, late: &lateRecords[K, V]{of: g.stream.port}}
}

// Emit is [Windowed.Emit].
func (w SessionWindowed[K, V]) Emit(emission windows.Emission) SessionWindowed[K, V] {
	w.emission = emission
	return w
}

// Late returns the records whose session would have been closed already, as they were, and those that were too far ahead of the
// wall clock for [windows.Session.MaxAhead]. They are counted as late and ahead whether this is called or not.
func (w SessionWindowed[K, V]) Late() Stream[K, V] { return w.late.stream() }

// Count counts the records of each session.
func (w SessionWindowed[K, V]) Count(store state.Session[K, int64]) WindowedTable[K, int64] {
	return aggregateSessions(w, "count", store, counting[K, V](), func(_ K, a, b int64) int64 { return a + b })
}

// Reduce keeps one value per session: that of its first record to come, and what reduce makes of it and each further one, and of
// two sessions that become one.
func (w SessionWindowed[K, V]) Reduce(store state.Session[K, V], reduce func(aggregate, value V) V) WindowedTable[K, V] {
	return aggregateSessions(w, "reduce", store, reducing[K](store.ValueCodec(), reduce),
		func(_ K, a, b V) V { return reduce(a, b) })
}

// AggregateSessions keeps a value per session that begins as what init returns, and to which add puts each record. merge makes one
// of the values of two sessions that become one, the earlier one first. Both may change the first aggregate that they are given
// and return it.
func AggregateSessions[K, V, A any](w SessionWindowed[K, V], store state.Session[K, A], init func() A,
	add func(key K, value V, aggregate A) A, merge func(key K, a, b A) A,
) WindowedTable[K, A] {
	return aggregateSessions(w, "aggregate", store, aggregating(init, add), merge)
}

func aggregateSessions[K, V, A any](w SessionWindowed[K, V], operator string, store state.Session[K, A],
	fold fold[K, V, A], merge func(K, A, A) A,
) WindowedTable[K, A] {
	t, of := w.stream.port.of(), w.sessions
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
			opened, err := state.OpenSession(b.site.DB(), store)
			if err != nil {
				return nil, err
			}
			late, err := w.late.receiver(b, self)
			if err != nil {
				return nil, err
			}
			a := &sessionAggregator[K, V, A]{
				place: place{b.site, node}, fold: fold, merge: merge, sessions: of, onClose: w.emission == windows.OnClose,
				store: opened, clock: b.site.Clock(store.Name(), of.IdleAfter(), of.AheadAtMost()),
				keepMs: max(0, store.RetentionMs()-of.RetentionMs()), next: next, late: late,
			}
			b.site.OnStart(a.start)
			b.site.OnIdle(node, a.idle)
			return a.receive, nil
		}, append(fold.given, argument{"merge", merge})...)
	self = results.node
	results.rekeyed = self.Name
	w.late.from(self)
	return WindowedTable[K, A]{results}
}
