package streamstest

import (
	"context"
	"iter"
	"math"
	"slices"

	"github.com/millrace/millrace/state"
)

// KV returns what is committed in a key-value store, of all its partitions.
func KV[K comparable, V any](d *Driver, store state.KV[K, V]) map[K]V {
	d.t.Helper()
	all := map[K]V{}
	for row := range rows(d, store.Name(), func(ctx context.Context, db *state.DB) iter.Seq2[state.Row[K, V], error] {
		return state.QueryKVRange(ctx, db, store, nil, nil)
	}) {
		all[row.Key] = row.Value
	}
	return all
}

// Get returns what is committed of one key of a key-value store, in whichever partition it is.
func Get[K comparable, V any](d *Driver, store state.KV[K, V], key K) (value V, found bool) {
	d.t.Helper()
	value, found = KV(d, store)[key]
	return value, found
}

// Windows returns the committed windows of a window store that are not expired, partition by partition, each ordered as
// state.QueryWindowRange has them.
func Windows[K, V any](d *Driver, store state.Window[K, V]) []state.WindowRow[K, V] {
	d.t.Helper()
	return slices.Collect(rows(d, store.Name(), func(ctx context.Context, db *state.DB) iter.Seq2[state.WindowRow[K, V], error] {
		return state.QueryWindowRange(ctx, db, store, nil, nil, math.MinInt64, math.MaxInt64)
	}))
}

// Sessions returns the committed sessions of a session store that are not expired, partition by partition, by key and start.
func Sessions[K, V any](d *Driver, store state.Session[K, V]) []state.SessionRow[K, V] {
	d.t.Helper()
	return slices.Collect(rows(d, store.Name(), func(ctx context.Context, db *state.DB) iter.Seq2[state.SessionRow[K, V], error] {
		return state.QuerySessionRange(ctx, db, store, nil, nil)
	}))
}

// rows walks over what a query finds in each task that has the store, in the order of the partitions.
func rows[R any](d *Driver, store string, query func(context.Context, *state.DB) iter.Seq2[R, error]) iter.Seq[R] {
	return func(yield func(R) bool) {
		for _, db := range d.databases(store) {
			for row, err := range query(background, db) {
				if err != nil {
					d.t.Fatalf("store %s: %v", store, err)
				}
				if !yield(row) {
					return
				}
			}
		}
	}
}

// databases returns those of the tasks that have a store, by partition.
func (d *Driver) databases(store string) (all []*state.DB) {
	d.t.Helper()
	if d.program.Graph.Store(store) == nil {
		d.t.Fatalf("no store %s: the topology has %v", store, d.storeNames())
	}
	d.must(d.start())
	for _, id := range d.tasks() {
		sub := d.subtopology(id.Subtopology)
		if !slices.ContainsFunc(sub.Stores, func(s state.Spec) bool { return s.Name == store }) {
			continue
		}
		for _, t := range d.processes[d.owners[id]].tasks {
			if t.id == id {
				all = append(all, t.DB())
			}
		}
	}
	return all
}

func (d *Driver) storeNames() (names []string) {
	for _, s := range d.program.Graph.Stores {
		names = append(names, s.Name)
	}
	return names
}
