package streams

import (
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// regroup is how rows come into the value of a group and leave it.
type regroup[K, V, A any] struct {
	fold[K, V, A]
	subtract func(key K, value V, aggregate A) A
	isEmpty  func(A) bool // says that a group has no rows; nil: nothing does
}

func aggregateTable[K, V, A any](g GroupedTable[K, V], operator string, store state.KV[K, A], how regroup[K, V, A]) Table[K, A] {
	t := g.changes.of()
	if !own(t, store, "") {
		return noTable[K, A](g.changes)
	}
	past := &history{}
	node := graph.Node{Name: storeNode(t, store.Name()), Operator: operator, Stores: []string{store.Name()}}
	changes := connect(g.changes, node, func(b *build, node *engine.Node, next receive[K, change[A]]) (receive[K, change[V]], error) {
		opened, err := state.OpenKV(b.site.DB(), store)
		if err != nil {
			return nil, err
		}
		a := &tableAggregator[K, V, A]{place: place{b.site, node}, store: opened, regroup: how, next: next}
		if past.wanted {
			a.copy = copier(store.ValueCodec())
		}
		return a.receive, nil
	}, append(how.given, argument{"subtract", how.subtract})...)
	return storedTable(changes, store, past)
}

// tableAggregator keeps the values of groups.
type tableAggregator[K, V, A any] struct {
	place
	regroup[K, V, A]
	store *state.KVStore[K, A]
	copy  func(A) (A, error) // nil: nobody needs the values from before
	next  receive[K, change[A]]
}

func (a *tableAggregator[K, V, A]) receive(key K, c change[V], m *engine.Meta) error {
	m.Enter(a.node)
	entry, err := a.store.Edit(key)
	if err != nil {
		return a.failed(err, m)
	}
	result := change[A]{had: entry.Found, value: entry.Value, has: entry.Found}
	if a.copy != nil && entry.Found {
		if result.old, err = a.copy(entry.Value); err != nil {
			return a.failed(err, m)
		}
	}
	if err := a.apply(key, c, &result); err != nil {
		return a.failed(err, m)
	}
	if !result.had && !result.has {
		return nil
	}
	timestampMs := m.TimestampMs
	if entry.Found {
		timestampMs = max(timestampMs, entry.TimestampMs)
	}
	if result.has {
		entry.Set(result.value, timestampMs)
	} else {
		entry.Delete()
	}
	a.node.Emitted++
	return forwardAt(a.next, key, result, m, timestampMs)
}

// apply takes from a group what a row was and adds what it is. A group that does not exist cannot lose a row: only input that
// was processed twice, without exactly-once, asks for that.
func (a *tableAggregator[K, V, A]) apply(key K, c change[V], group *change[A]) (err error) {
	if c.had && group.has {
		group.value = a.subtract(key, c.old, group.value)
	}
	switch {
	case !c.has:
	case group.has:
		group.value = a.add(key, c.value, group.value)
	default:
		group.value, err = a.first(key, c.value)
		group.has = true
	}
	if group.has && a.isEmpty != nil && a.isEmpty(group.value) {
		*group = change[A]{old: group.old, had: group.had}
	}
	return err
}
