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
)

// ErrNotHere is that a key's partition, which the error names, or all of a store, is not in this process, or not ready yet: other
// processes of the application have it, or their checkpoints.
var ErrNotHere = errors.New("not in this process")

// Queried is what has stores to read: an App that runs, or a Checkpoint.
type Queried interface {
	// holders returns who has parts of a store, by partition; at least one.
	holders(store state.Store) ([]holder, error)
}

// holder has one partition of a store, of so many over which its keys are spread.
type holder struct {
	partition int32
	spread    int
	db        *state.DB
}

// Get returns what is committed of a key of a store, as a copy; found only if there is a value. It waits for
// the task to be between two pieces of work, some milliseconds, or until ctx ends. Safe for concurrent use.
//
// The key is looked for in the partition where Kafka's own producers would send it, then in the others that this process has,
// since not all producers are alike. If it is in none of them and its partition is elsewhere, the error wraps ErrNotHere.
func Get[K, V any](ctx context.Context, in Queried, store state.KV[K, V], key K) (value V, found bool, err error) {
	row, found, err := lookUp(in, store, store.KeyCodec(), key, func(db *state.DB) (state.Row[K, V], bool, error) {
		return state.QueryKV(ctx, db, store, key)
	})
	return row.Value, found, err
}

// Range walks over what is committed of a store with keys in [from, to), nil being open: all of one partition of this process in
// the order of the encoded keys, then the next. Partitions of other processes are left out; that none is here is an error that
// wraps ErrNotHere. What is committed while it runs may be seen. An error ends it. Safe for concurrent use.
func Range[K, V any](ctx context.Context, in Queried, store state.KV[K, V], from, to *K) iter.Seq2[state.Row[K, V], error] {
	return walk(in, store, func(db *state.DB) iter.Seq2[state.Row[K, V], error] {
		return state.QueryKVRange(ctx, db, store, from, to)
	})
}

// lookUp asks the tasks of this process that have a store for a key, first the one that should have it.
func lookUp[K, R any](in Queried, store state.Store, keys state.Codec[K], key K, ask func(*state.DB) (R, bool, error)) (none R, found bool, err error) {
	encoded, err := keys.Append([]byte{}, key)
	if err != nil {
		return none, false, fmt.Errorf("encode a key of store %s: %w", store.Spec().Name, err)
	}
	holders, err := in.holders(store)
	if err != nil {
		return none, false, err
	}
	home := homeOf(encoded, holders[0].spread)
	slices.SortStableFunc(holders, func(a, b holder) int { return cmp.Compare(a.away(home), b.away(home)) })
	answered := false // by the one that should have it
	for _, h := range holders {
		result, found, err := ask(h.db)
		switch {
		case errors.Is(err, state.ErrClosed):
			continue // it has just gone elsewhere
		case err != nil || found:
			return result, found, err
		}
		answered = answered || h.partition == home
	}
	if !answered {
		return none, false, fmt.Errorf("partition %d of store %s: %w", home, store.Spec().Name, ErrNotHere)
	}
	return none, false, nil
}

// away is 0 for the holder of a partition, 1 for others.
func (h holder) away(partition int32) int {
	if h.partition == partition {
		return 0
	}
	return 1
}

// homeOf returns the partition to which Kafka's own producers send a key.
func homeOf(key []byte, partitions int) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, partitions))
}

// walk goes over the rows of all tasks of this process that have a store.
func walk[R any](in Queried, store state.Store, rows func(*state.DB) iter.Seq2[R, error]) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		holders, err := in.holders(store)
		if err != nil {
			var none R
			yield(none, err)
			return
		}
		for _, h := range holders {
			for row, err := range rows(h.db) {
				if errors.Is(err, state.ErrClosed) {
					err = fmt.Errorf("partition %d of store %s: %w", h.partition, store.Spec().Name, ErrNotHere)
				}
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// holders returns the tasks of this process that have a store, by partition; at least one.
func (a *App) holders(store state.Store) (holders []holder, err error) {
	name := store.Spec().Name
	if a.topology.graph.Store(name) == nil {
		return nil, fmt.Errorf("the topology of %s has no store %s", a.options.App, name)
	}
	for _, task := range a.shell.Tasks() {
		if spread := task.Spread(name); spread > 0 {
			holders = append(holders, holder{task.ID().Partition, spread, task.DB()})
		}
	}
	return sorted(holders, name)
}

// sorted returns the holders of a store by partition, or the error that there are none.
func sorted(holders []holder, store string) ([]holder, error) {
	if len(holders) == 0 {
		return nil, fmt.Errorf("store %s: %w", store, ErrNotHere)
	}
	slices.SortFunc(holders, func(x, y holder) int { return cmp.Compare(x.partition, y.partition) })
	return holders, nil
}
