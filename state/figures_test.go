package state_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

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
