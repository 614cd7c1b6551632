package streams

import (
	"bytes"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// GroupedTable is the rows of a table under other keys, ready to be put together: what a row no longer is gets subtracted, what
// it has become is added.
type GroupedTable[K, V any] struct {
	changes *port[K, change[V]]
}

// GroupTable groups the rows of a table by another key. group says under which key a row counts, and as what value; it must
// return the same for the same row. Changes pass through the repartition topic, which the library creates and whose values hold
// what a row was and what it is. A row that moves to another key is taken from the group it leaves before it is added to the
// one it enters, if one task has both; two tasks do it each in its own time.
func GroupTable[K, V, K2, V2 any](t Table[K, V], topic Topic[K2, V2], group func(K, V) (K2, V2)) GroupedTable[K2, V2] {
	if topic.lacksCodec(t.changes.of()) {
		return GroupedTable[K2, V2]{newPort[K2, change[V2]](t.changes.of(), t.changes.node)}
	}
	t.past.want()
	moved := connect(t.changes, graph.Node{Operator: "group-table"},
		func(b *build, node *engine.Node, next receive[K2, change[V2]]) (receive[K, change[V]], error) {
			r := &regrouper[K, V, K2, V2]{place: place{b.site, node}, group: group, key: topic.key, next: next}
			return r.receive, nil
		}, argument{"group", group})
	changes := Topic[K2, change[V2]]{name: topic.name, key: topic.key, value: changeCodec[V2]{topic.value}, partitions: topic.partitions}
	return GroupedTable[K2, V2]{Stream[K2, change[V2]]{moved}.Repartition(changes).port}
}

// regrouper gives the changes of a table the keys of groups.
type regrouper[K, V, K2, V2 any] struct {
	place
	group func(K, V) (K2, V2)
	key   state.Codec[K2]
	next  receive[K2, change[V2]]

	leftKey, enteredKey []byte // as they are encoded
}

func (r *regrouper[K, V, K2, V2]) receive(key K, c change[V], m *engine.Meta) error {
	m.Enter(r.node)
	noKey, noValue := m.NoKey, m.NoValue
	m.NoKey, m.NoValue = false, false
	err := r.forward(key, c, m)
	m.NoKey, m.NoValue = noKey, noValue
	return err
}

// forward passes on one change if the row stays in its group, else one for each group: a group is one partition's, and only
// those of the same group keep their order.
func (r *regrouper[K, V, K2, V2]) forward(key K, c change[V], m *engine.Meta) error {
	var left, entered K2
	var change change[V2]
	if c.had {
		left, change.old = r.group(key, c.old)
		change.had = true
	}
	if c.has {
		entered, change.value = r.group(key, c.value)
		change.has = true
	}
	switch {
	case change.had && change.has:
		same, err := r.isSame(left, entered)
		if err != nil {
			return r.failed(err, m)
		}
		if same {
			r.node.Emitted++
			return r.next(entered, change, m)
		}
		r.node.Emitted += 2
		if err := r.next(left, change.onlyOld(), m); err != nil {
			return err
		}
		return r.next(entered, change.onlyNew(), m)
	case change.had:
		r.node.Emitted++
		return r.next(left, change, m)
	case change.has:
		r.node.Emitted++
		return r.next(entered, change, m)
	}
	return nil
}

// isSame compares keys as topics and stores do: by their bytes.
func (r *regrouper[K, V, K2, V2]) isSame(left, entered K2) (same bool, err error) {
	if r.leftKey, err = r.key.Append(r.leftKey[:0], left); err != nil {
		return false, err
	}
	if r.enteredKey, err = r.key.Append(r.enteredKey[:0], entered); err != nil {
		return false, err
	}
	return bytes.Equal(r.leftKey, r.enteredKey), nil
}

// Count counts the rows of each group. A group that has none any more is taken away.
func (g GroupedTable[K, V]) Count(store state.KV[K, int64]) Table[K, int64] {
	counting := counting[K, V]()
	return aggregateTable(g, "count", store, regroup[K, V, int64]{
		fold:     counting,
		subtract: func(_ K, _ V, count int64) int64 { return count - 1 },
		isEmpty:  func(count int64) bool { return count == 0 },
	})
}

// Reduce keeps one value per group: that of the first row, to which add puts each further one and from which subtract takes
// those that leave. A group without rows keeps what subtract left.
func (g GroupedTable[K, V]) Reduce(store state.KV[K, V], add, subtract func(aggregate, value V) V) Table[K, V] {
	how := regroup[K, V, V]{
		fold:     reducing[K](store.ValueCodec(), add),
		subtract: func(_ K, value, aggregate V) V { return subtract(aggregate, value) },
	}
	how.given = []argument{{"add", add}, {"subtract", subtract}}
	return aggregateTable(g, "reduce", store, how)
}

// AggregateTable keeps a value per group that begins as what init returns, to which add puts each row and from which subtract
// takes each that leaves. Both may change what they are given as aggregate and return it. A group without rows keeps what
// subtract left.
func AggregateTable[K, V, A any](g GroupedTable[K, V], store state.KV[K, A], init func() A,
	add, subtract func(key K, value V, aggregate A) A,
) Table[K, A] {
	return aggregateTable(g, "aggregate", store, regroup[K, V, A]{fold: aggregating(init, add), subtract: subtract})
}
