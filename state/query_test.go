package state_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

// TestQueriesNeverSeeHalfOfACommit: the owner changes all keys together, and queries from other goroutines see each at a committed value
// that never goes back.
func TestQueriesNeverSeeHalfOfACommit(t *testing.T) {
	const keys, commits, readers = 20, 300, 3
	steps := state.NewKV("steps", serde.String, serde.Int64)
	db, err := state.Open(state.Options{Dir: "state", FS: vfs.NewMem(), Stores: []state.Spec{steps.Spec()}, FlushRecords: 50, CacheBytes: 500})
	if err != nil {
		t.Fatal(err)
	}
	store, err := state.OpenKV(db, steps)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	for range readers {
		done.Go(func() {
			least := map[string]int64{}
			for ctx.Err() == nil {
				for i := range keys {
					key := fmt.Sprint(i)
					row, found, err := state.QueryKV(ctx, db, steps, key)
					least[key] = checkStep(t, row, found, err, least[key])
				}
				for row, err := range state.QueryKVRange(ctx, db, steps, nil, nil) {
					least[row.Key] = checkStep(t, row, true, err, least[row.Key])
				}
			}
		})
	}
	for n := range int64(commits) {
		for i := range keys {
			own(t, db, func() error { return store.Put(fmt.Sprint(i), 2*n+1) }) // odd: not finished
			own(t, db, func() error { return store.Put(fmt.Sprint(i), 2*n+2) })
		}
		own(t, db, func() error { return db.Changes(func(string, []byte, []byte, int64) error { return nil }) })
		own(t, db, func() error { return store.Put("0", 2*n+3) })
		own(t, db, func() error { return db.Commit(state.Position{}) })
	}
	stop()
	done.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := state.QueryKV(context.Background(), db, steps, "0"); !errors.Is(err, state.ErrClosed) {
		t.Errorf("a query after the end: %v", err)
	}
}

func own(t *testing.T, db *state.DB, do func() error) {
	t.Helper()
	if err := errors.Join(db.Lock(context.Background()), do()); err != nil {
		t.Fatal(err)
	}
	db.Unlock()
}

func checkStep(t *testing.T, row state.Row[string, int64], found bool, err error, least int64) int64 {
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil:
		t.Errorf("query: %v", err)
	case found && (row.Value%2 != 0 || row.Value < least):
		t.Errorf("query of %s: %d after %d", row.Key, row.Value, least)
	case found:
		return row.Value
	}
	return least
}

func TestAQueryWaitsNoLongerThanItsContext(t *testing.T) {
	db, store := openCounts(t, state.Options{Dir: "state", FS: vfs.NewMem()})
	defer db.Close()
	if err := errors.Join(db.Lock(context.Background()), store.Put(key16{}, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := state.QueryKV(ctx, db, counts, key16{}); !errors.Is(err, context.Canceled) {
		t.Errorf("the query says %v", err)
	}
	db.Unlock()
}

// TestWhatAQueryReturnsIsACopy: changing it changes no store.
func TestWhatAQueryReturnsIsACopy(t *testing.T) {
	lists := state.NewKV("lists", serde.String, serde.JSON[[]int]())
	db, err := state.Open(state.Options{Dir: "state", FS: vfs.NewMem(), Stores: []state.Spec{lists.Spec()}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := state.OpenKV(db, lists)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.Put("a", []int{1}), db.Changes(func(string, []byte, []byte, int64) error { return nil }), db.Commit(state.Position{})); err != nil {
		t.Fatal(err)
	}
	row, _, err := state.QueryKV(context.Background(), db, lists, "a")
	if err != nil {
		t.Fatal(err)
	}
	row.Value[0] = 2
	if value, _, err := store.Get("a"); err != nil || value[0] != 1 {
		t.Errorf("the store has %v (%v)", value, err)
	}
}

func TestEditAllocatesNothing(t *testing.T) {
	db, store := openCounts(t, state.Options{Dir: t.TempDir()})
	defer db.Close()
	keys := sampleKeys(1<<12, 1000)
	edit := func() {
		for _, key := range keys {
			entry, err := store.Edit(key)
			if err != nil {
				t.Fatal(err)
			}
			entry.Set(entry.Value+1, 1)
		}
	}
	edit()
	if n := testing.AllocsPerRun(10, edit); n != 0 {
		t.Errorf("%v allocations for %d records", n, len(keys))
	}
}
