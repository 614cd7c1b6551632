package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
)

// ErrNotHere is that a key's partition, which the error names, or all of a store, is not in this process, or not ready yet: other
// processes of the application have it.
var ErrNotHere = errors.New("not in this process")

// Get returns what is committed of a key of a running application's store, as a copy; found only if there is a value. It waits for
// the task to be between two pieces of work, some milliseconds, or until ctx ends. Safe for concurrent use.
//
// The key is looked for in the partition where Kafka's own producers would send it, then in the others that this process has,
// since not all producers are alike. If it is in none of them and its partition is elsewhere, the error wraps ErrNotHere.
func Get[K, V any](ctx context.Context, app *App, store state.KV[K, V], key K) (value V, found bool, err error) {
	row, found, err := lookUp(app, store.Name(), store.KeyCodec(), key, func(db *state.DB) (state.Row[K, V], bool, error) {
		return state.QueryKV(ctx, db, store, key)
	})
	return row.Value, found, err
}

// Range walks over what is committed of a store with keys in [from, to), nil being open: all of one partition of this process in
// the order of the encoded keys, then the next. Partitions of other processes are left out; that none is here is an error that
// wraps ErrNotHere. What is committed while it runs may be seen. An error ends it. Safe for concurrent use.
func Range[K, V any](ctx context.Context, app *App, store state.KV[K, V], from, to *K) iter.Seq2[state.Row[K, V], error] {
	return walk(app, store.Name(), func(db *state.DB) iter.Seq2[state.Row[K, V], error] {
		return state.QueryKVRange(ctx, db, store, from, to)
	})
}

// lookUp asks the tasks of this process that have a store for a key, first the one that should have it.
func lookUp[K, R any](app *App, store string, keys state.Codec[K], key K, ask func(*state.DB) (R, bool, error)) (none R, found bool, err error) {
	encoded, err := keys.Append([]byte{}, key)
	if err != nil {
		return none, false, fmt.Errorf("encode a key of store %s: %w", store, err)
	}
	tasks, err := app.holders(store)
	if err != nil {
		return none, false, err
	}
	home := homeOf(encoded, tasks[0].Spread(store))
	slices.SortStableFunc(tasks, func(a, b *engine.Task) int { return cmp.Compare(away(a, home), away(b, home)) })
	answered := false // by the task that should have it
	for _, task := range tasks {
		result, found, err := ask(task.DB())
		switch {
		case errors.Is(err, state.ErrClosed):
			continue // it has just gone elsewhere
		case err != nil || found:
			return result, found, err
		}
		answered = answered || task.ID().Partition == home
	}
	if !answered {
		return none, false, fmt.Errorf("partition %d of store %s: %w", home, store, ErrNotHere)
	}
	return none, false, nil
}

// away is 0 for the task of a partition, 1 for others.
func away(task *engine.Task, partition int32) int {
	if task.ID().Partition == partition {
		return 0
	}
	return 1
}

// homeOf returns the partition to which Kafka's own producers send a key.
func homeOf(key []byte, partitions int) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, partitions))
}

// walk goes over the rows of all tasks of this process that have a store.
func walk[R any](app *App, store string, rows func(*state.DB) iter.Seq2[R, error]) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		tasks, err := app.holders(store)
		if err != nil {
			var none R
			yield(none, err)
			return
		}
		for _, task := range tasks {
			for row, err := range rows(task.DB()) {
				if errors.Is(err, state.ErrClosed) {
					err = fmt.Errorf("partition %d of store %s: %w", task.ID().Partition, store, ErrNotHere)
				}
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// holders returns the tasks of this process that have a store, by partition; at least one.
func (a *App) holders(store string) ([]*engine.Task, error) {
	if a.topology.graph.Store(store) == nil {
		return nil, fmt.Errorf("the topology of %s has no store %s", a.options.App, store)
	}
	tasks := slices.DeleteFunc(a.shell.Tasks(), func(t *engine.Task) bool { return t.Spread(store) == 0 })
	if len(tasks) == 0 {
		return nil, fmt.Errorf("store %s: %w", store, ErrNotHere)
	}
	slices.SortFunc(tasks, func(x, y *engine.Task) int { return cmp.Compare(x.ID().Partition, y.ID().Partition) })
	return tasks, nil
}
