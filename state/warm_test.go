package state_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

// Warm is a hint: with keys of the store and others, in a small table and a large one, all stays as it is.
func TestWarmChangesNothing(t *testing.T) {
	const many = 40_000 // above what Warm thinks worth it
	numbers := state.NewKV("counts", serde.String, serde.Int64)
	db, err := state.Open(state.Options{Dir: "db", FS: vfs.NewMem(), Stores: []state.Spec{numbers.Spec()}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := state.OpenKV(db, numbers)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([][]byte, 0, many+2)
	for i := range many {
		keys = append(keys, fmt.Appendf(nil, "key-%d", i))
	}
	keys = append(keys, nil, []byte("none"))
	for i := range many {
		if i < 100 || i%1000 == 0 {
			store.Warm(keys)
		}
		if err := store.Put(string(keys[i]), int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	store.Warm(keys)
	for i := range many {
		if value, found, err := store.Get(string(keys[i])); value != int64(i) || !found || err != nil {
			t.Fatalf("%s has %d, %v, %v", keys[i], value, found, err)
		}
	}
	if _, found, err := store.Get("none"); found || err != nil {
		t.Errorf("a key that was only warmed is there: %v, %v", found, err)
	}
}

// The same for the windows of one start; before there are any, and when all are expired.
func TestWarmChangesNoWindows(t *testing.T) {
	const many = 40_000
	visits := state.NewWindow("visits", serde.String, serde.Int64)
	db, err := state.Open(state.Options{Dir: "db", FS: vfs.NewMem(), Stores: []state.Spec{visits.Spec()}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := state.OpenWindow(db, visits)
	if err != nil {
		t.Fatal(err)
	}
	keys := [][]byte{[]byte("none")}
	store.Warm(keys)
	for i := range many {
		key := fmt.Sprintf("key-%d", i)
		keys = append(keys, []byte(key))
		entry, err := store.Edit(key, 1000)
		if err != nil {
			t.Fatal(err)
		}
		entry.Set(int64(i), 1000)
	}
	store.Warm(keys)
	for i, key := range keys[1:] {
		if value, found, err := store.Get(string(key), 1000); value != int64(i) || !found || err != nil {
			t.Fatalf("%s has %d, %v, %v", key, value, found, err)
		}
	}
	if err := store.Expire(5000); err != nil {
		t.Fatal(err)
	}
	store.Warm(keys)
	if _, found, err := store.Get("key-1", 1000); found || err != nil {
		t.Errorf("an expired window is there: %v, %v", found, err)
	}
}
