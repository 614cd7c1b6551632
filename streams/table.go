package streams

import (
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Table is the latest value of each key, as the updates of a stream make it. Every update is passed on at once; a key that is
// taken away is passed on as a record without a value.
type Table[K, V any] struct {
	changes *port[K, change[V]]
	lookup  func(*build) (lookup[K, V], error)
	past    *history
	stores  []string
}

// change is what an update does to the value of a key. old is set only where history says that it is wanted.
type change[V any] struct {
	old, value V
	had, has   bool // the key had a value before, has one now
}

// lookup finds the value of a key as it is now.
type lookup[K, V any] func(key K) (value V, found bool, err error)

// history says whether anyone behind a table needs the values from before, which cost a copy where they are changed in place.
type history struct {
	wanted bool
	above  *history
}

func (h *history) want() {
	for ; h != nil; h = h.above {
		h.wanted = true
	}
}

// TableFrom reads a topic as a table: each record replaces the value of its key, one without a value takes the key away. They
// apply in the order of their offsets, whatever their timestamps. Records without a key are left out and counted as null_key.
func TableFrom[K, V any](t *Topology, topic Topic[K, V], store state.KV[K, V], options ...SourceOption) Table[K, V] {
	from := From(t, topic, options...).port
	if !own(t, store, "") {
		return noTable[K, V](from)
	}
	node := graph.Node{Name: storeNode(t, store.Name()), Operator: "table", Stores: []string{store.Name()}}
	changes := connect(from, node, func(b *build, node *engine.Node, next receive[K, change[V]]) (receive[K, V], error) {
		opened, err := state.OpenKV(b.site.DB(), store)
		return (&tableWriter[K, V]{place{b.site, node}, opened, next}).receive, err
	})
	return storedTable(changes, store, &history{})
}

// storedTable is a table whose rows are in a store.
func storedTable[K, V any](changes *port[K, change[V]], store state.KV[K, V], past *history) Table[K, V] {
	return Table[K, V]{changes: changes, past: past, stores: []string{store.Name()},
		lookup: func(b *build) (lookup[K, V], error) {
			opened, err := state.OpenKV(b.site.DB(), store)
			if err != nil {
				return nil, err
			}
			return opened.Get, nil
		}}
}

// noTable stands for a table whose description has a mistake.
func noTable[K, V, V0 any](from *port[K, V0]) Table[K, V] {
	return Table[K, V]{changes: newPort[K, change[V]](from.of(), from.node)}
}

// tableWriter keeps the latest value of each key.
type tableWriter[K, V any] struct {
	place
	store *state.KVStore[K, V]
	next  receive[K, change[V]]
}

func (w *tableWriter[K, V]) receive(key K, value V, m *engine.Meta) error {
	m.Enter(w.node)
	if m.NoKey {
		w.node.Drop(engine.NullKey)
		return nil
	}
	entry, err := w.store.Edit(key)
	if err != nil {
		return w.failed(err, m)
	}
	c := change[V]{old: entry.Value, had: entry.Found, value: value, has: !m.NoValue}
	if c.has {
		entry.Set(value, m.TimestampMs)
	} else {
		entry.Delete()
	}
	w.node.Emitted++
	return w.next(key, c, m)
}
