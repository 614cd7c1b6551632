package streams

import (
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Count counts the records of each key. Records without a key or a value are left out and counted as null_key and null_value,
// by this and by all that follows.
func (g Grouped[K, V]) Count(store state.KV[K, int64]) Table[K, int64] {
	return aggregate(g, "count", store, counting[K, V]())
}

// Reduce keeps one value per key: that of the first record, and what reduce makes of it and each further one. reduce may change
// aggregate and return it.
func (g Grouped[K, V]) Reduce(store state.KV[K, V], reduce func(aggregate, value V) V) Table[K, V] {
	return aggregate(g, "reduce", store, reducing[K](store.ValueCodec(), reduce))
}

// Aggregate keeps a value per key that begins as what init returns, and to which add puts each record. add may change what it
// is given as aggregate and return it. The timestamp of a result is the highest of its records.
func Aggregate[K, V, A any](g Grouped[K, V], store state.KV[K, A], init func() A, add func(key K, value V, aggregate A) A) Table[K, A] {
	return aggregate(g, "aggregate", store, aggregating(init, add))
}

func aggregate[K, V, A any](g Grouped[K, V], operator string, store state.KV[K, A], fold fold[K, V, A]) Table[K, A] {
	from := g.stream.port
	if !own(from.of(), store, "") {
		return noTable[K, A](from)
	}
	past := &history{}
	node := graph.Node{Name: storeNode(from.of(), store.Name()), Operator: operator, Stores: []string{store.Name()}}
	changes := connect(from, node, func(b *build, node *engine.Node, next receive[K, change[A]]) (receive[K, V], error) {
		opened, err := state.OpenKV(b.site.DB(), store)
		if err != nil {
			return nil, err
		}
		if from.rekeyed == "" {
			b.site.OnAhead(store.KeyCodec(), opened.Warm)
		}
		a := &aggregator[K, V, A]{place: place{b.site, node}, store: opened, fold: fold, next: next}
		if past.wanted {
			a.copy = copier(store.ValueCodec())
		}
		return a.receive, nil
	}, fold.given...)
	return storedTable(changes, store, past)
}

// aggregator puts records to the values of a store.
type aggregator[K, V, A any] struct {
	place
	store *state.KVStore[K, A]
	fold  fold[K, V, A]
	copy  func(A) (A, error) // nil: nobody needs the values from before
	next  receive[K, change[A]]
}

func (a *aggregator[K, V, A]) receive(key K, value V, m *engine.Meta) error {
	m.Enter(a.node)
	if leftOut(a.node, m) {
		return nil
	}
	entry, err := a.store.Edit(key)
	if err != nil {
		return a.failed(err, m)
	}
	c := change[A]{had: entry.Found, has: true}
	timestampMs := m.TimestampMs
	if !entry.Found {
		if c.value, err = a.fold.first(key, value); err != nil {
			return a.failed(err, m)
		}
	} else {
		if a.copy != nil {
			if c.old, err = a.copy(entry.Value); err != nil {
				return a.failed(err, m)
			}
		}
		c.value = a.fold.add(key, value, entry.Value)
		timestampMs = max(timestampMs, entry.TimestampMs)
	}
	entry.Set(c.value, timestampMs)
	a.node.Emitted++
	return forwardAt(a.next, key, c, m, timestampMs)
}

// leftOut counts a record that lacks its key or its value.
func leftOut(node *engine.Node, m *engine.Meta) bool {
	switch {
	case m.NoKey:
		node.Drop(engine.NullKey)
	case m.NoValue:
		node.Drop(engine.NullValue)
	default:
		return false
	}
	return true
}

// forwardAt passes a record on with another timestamp.
func forwardAt[K, V any](next receive[K, V], key K, value V, m *engine.Meta, timestampMs int64) error {
	came := m.TimestampMs
	m.TimestampMs = timestampMs
	err := next(key, value, m)
	m.TimestampMs = came
	return err
}
