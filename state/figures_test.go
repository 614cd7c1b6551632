package state_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/state"
)

func TestFiguresTellWhatIsWhere(t *testing.T) {
	db, err := state.Open(state.Options{Dir: "state", FS: vfs.NewMem(), Stores: []state.Spec{words.Spec(), totals.Spec()}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := state.OpenKV(db, words)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		if err := store.Put(fmt.Sprint("key ", i), "value"); err != nil {
			t.Fatal(err)
		}
	}
	before, err := db.Figures(t.Context())
	if err != nil || before.StoreBytes["words"] != 0 {
		t.Errorf("before a commit: %+v, %v", before, err)
	}
	if err := db.Changes(func(string, []byte, []byte, int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Commit(state.Position{}), db.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := db.Checkpoint(t.Context(), "copy"); err != nil { // waits for the flush to be on disk
		t.Fatal(err)
	}
	if before.StoreEntries["words"] != 10_000 || before.StoreEntries["totals"] != 0 {
		t.Errorf("in memory: %v", before.StoreEntries)
	}
	after, err := db.Figures(t.Context())
	if err != nil || after.StoreBytes["words"] < 10_000 || after.StoreBytes["totals"] != 0 || after.DiskBytes < after.StoreBytes["words"] {
		t.Errorf("after a flush: %+v, %v", after, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Lock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Figures(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("while it is locked: %v", err)
	}
	db.Unlock()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Figures(t.Context()); !errors.Is(err, state.ErrClosed) {
		t.Errorf("of a closed one: %v", err)
	}
}

// What the files tell of entries is about right, also where several stores share a file, and a read of them is told of now and then.
func TestEntriesAreEstimatedFromFiles(t *testing.T) {
	reads := map[string]int{}
	db, err := state.Open(state.Options{Dir: "state", FS: vfs.NewMem(), Stores: []state.Spec{words.Spec(), totals.Spec()}, CacheBytes: 1,
		ReadTook: func(store string, took time.Duration) { reads[store]++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	first, err := state.OpenKV(db, words)
	second, e := state.OpenKV(db, totals)
	if err := errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	for i := range 9_000 {
		err := first.Put(fmt.Sprint("key ", i), fmt.Sprint("value ", i))
		if i%3 == 0 {
			err = errors.Join(err, second.Put(fmt.Sprint("key ", i), fmt.Sprint(i)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Changes(func(string, []byte, []byte, int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Commit(state.Position{}), db.Flush(), db.Checkpoint(t.Context(), "copy")); err != nil {
		t.Fatal(err)
	}
	told := reads["words"]
	figures, err := db.Figures(t.Context())
	if n := figures.StoreEntries["words"]; err != nil || n < 6_000 || n > 12_000 {
		t.Errorf("%d words, %v", n, err)
	}
	if n := figures.StoreEntries["totals"]; n < 1_000 || n > 6_000 {
		t.Errorf("%d totals", n)
	}
	for i := range 160 {
		if value, found, err := first.Get(fmt.Sprint("key ", i)); !found || err != nil {
			t.Fatal(value, found, err)
		}
	}
	if reads["words"] != told+10 || reads["totals"] != 0 {
		t.Errorf("of 160 reads it told %v", reads)
	}
}
