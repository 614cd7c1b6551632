package streams

import (
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// ToStream returns the table's updates as a stream. A key that was taken away is a record without a value.
func (t Table[K, V]) ToStream() Stream[K, V] {
	return Stream[K, V]{connect(t.changes, graph.Node{Operator: "to-stream"},
		func(_ *build, node *engine.Node, next receive[K, V]) (receive[K, change[V]], error) {
			return func(key K, c change[V], m *engine.Meta) error {
				m.Enter(node)
				had := m.NoValue
				m.NoValue = !c.has
				node.Emitted++
				err := next(key, c.value, m)
				m.NoValue = had
				return err
			}, nil
		})}
}

// Filter keeps the rows for which keep is true. A row that is changed so that it is no longer one of them is taken away.
func (t Table[K, V]) Filter(keep func(K, V) bool) Table[K, V] {
	t.past.want()
	changes := connect(t.changes, graph.Node{Operator: "filter"},
		func(_ *build, node *engine.Node, next receive[K, change[V]]) (receive[K, change[V]], error) {
			return func(key K, c change[V], m *engine.Meta) error {
				m.Enter(node)
				c.had = c.had && keep(key, c.old)
				c.has = c.has && keep(key, c.value)
				if !c.had && !c.has {
					return nil
				}
				node.Emitted++
				return next(key, c.onlyKept(), m)
			}, nil
		}, argument{"keep", keep})
	return derivedTable(t, changes, t.past, func(key K, value V) (V, bool) { return value, keep(key, value) })
}

// MapTableValues makes a table of what f makes of the values of another one. f is called again whenever it is asked for a
// value, so it must return the same for the same value.
func MapTableValues[K, V, V2 any](t Table[K, V], f func(V) V2) Table[K, V2] {
	past := &history{above: t.past}
	changes := connect(t.changes, graph.Node{Operator: "map-values"},
		func(_ *build, node *engine.Node, next receive[K, change[V2]]) (receive[K, change[V]], error) {
			return func(key K, c change[V], m *engine.Meta) error {
				m.Enter(node)
				mapped := change[V2]{had: c.had, has: c.has}
				if c.had && past.wanted {
					mapped.old = f(c.old)
				}
				if c.has {
					mapped.value = f(c.value)
				}
				node.Emitted++
				return next(key, mapped, m)
			}, nil
		}, argument{"f", f})
	return derivedTable(t, changes, past, func(_ K, value V) (V2, bool) { return f(value), true })
}

// derivedTable is a table that has no store of its own: its rows are made of those of another one when they are asked for.
func derivedTable[K, V, V2 any](from Table[K, V], changes *port[K, change[V2]], past *history, derive func(K, V) (V2, bool)) Table[K, V2] {
	return Table[K, V2]{changes: changes, past: past, stores: from.stores,
		lookup: func(b *build) (lookup[K, V2], error) {
			look, err := from.lookup(b)
			if err != nil {
				return nil, err
			}
			return func(key K) (derived V2, found bool, err error) {
				value, found, err := look(key)
				if found && err == nil {
					derived, found = derive(key, value)
				}
				return derived, found, err
			}, nil
		}}
}

// onlyKept is the change without values that are not there.
func (c change[V]) onlyKept() change[V] {
	var none V
	if !c.had {
		c.old = none
	}
	if !c.has {
		c.value = none
	}
	return c
}

// onlyOld is the change of a group that a row leaves, onlyNew that of one that it enters.
func (c change[V]) onlyOld() change[V] { return change[V]{old: c.old, had: true} }
func (c change[V]) onlyNew() change[V] { return change[V]{value: c.value, has: true} }
