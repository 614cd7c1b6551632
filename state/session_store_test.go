package state_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

var carts = state.NewSession("carts", serde.String, serde.Int64)

func openCarts(t testing.TB, fs vfs.FS) (*state.DB, *state.SessionStore[string, int64]) {
	t.Helper()
	db, err := state.Open(state.Options{Dir: "state", FS: fs, Stores: []state.Spec{carts.Spec()}})
	check(t, err)
	store, err := state.OpenSession(db, carts)
	check(t, err)
	return db, store
}

func cart(startMs, endMs, value int64) []state.SessionOf[int64] {
	return []state.SessionOf[int64]{{StartMs: startMs, EndMs: endMs, TimestampMs: endMs, Value: value}}
}

func TestSessionsOutOfOrderAreRefused(t *testing.T) {
	db, store := openCarts(t, vfs.NewMem())
	for _, sessions := range [][]state.SessionOf[int64]{cart(5, 4, 0), append(cart(5, 6, 0), cart(1, 2, 0)...)} {
		if err := store.Put("anna", sessions, 0); err == nil || !strings.Contains(err.Error(), "carts") || !strings.Contains(err.Error(), "order") {
			t.Errorf("%v: %v", sessions, err)
		}
	}
	if sessions, err := store.Get("anna"); sessions != nil || err != nil {
		t.Fatal(sessions, err)
	}
	check(t, db.Close())
}

func TestASessionThatGrowsCostsTheIndexNothing(t *testing.T) {
	db, store := openCarts(t, vfs.NewMem())
	check(t, store.Put("anna", cart(0, 10, 1), 0))
	sessions, err := store.Get("anna")
	check(t, err)
	if n := testing.AllocsPerRun(100, func() {
		sessions[0].EndMs++
		sessions[0].Value++
		check(t, store.Put("anna", sessions, sessions[0].EndMs))
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
	for r, err := range store.Closed(math.MinInt64, 200) {
		if err != nil || r.Key != "anna" || r.SessionOf != sessions[0] {
			t.Fatalf("closed: %+v %v, want %+v", r, err, sessions[0])
		}
	}
	check(t, db.Close())
}

func TestClosedSessionsCostNothingWhileNothingEnds(t *testing.T) {
	db, store := openCarts(t, vfs.NewMem())
	for i := range 100 {
		check(t, store.Put(fmt.Sprint("user", i), cart(0, 1_000_000, 1), 0))
	}
	at := int64(0)
	closed := func() {
		for range store.Closed(at, at+1) {
			t.Fatal("something closed")
		}
		check(t, store.Expire(at))
		at++
	}
	closed()
	if n := testing.AllocsPerRun(100, closed); n > 4 {
		t.Fatalf("%v allocations", n)
	}
	check(t, db.Close())
}

func TestRestoredBytesThatAreNoSessionsAreRefused(t *testing.T) {
	db, _ := openCarts(t, vfs.NewMem())
	for _, value := range [][]byte{{7}, {0, 0, 0, 0, 0, 0, 0, 0, 7}} {
		if err := db.Restore("carts", []byte("anna"), value, 0); err == nil || !strings.Contains(err.Error(), "carts") {
			t.Fatal(err)
		}
	}
	check(t, db.Close())
}

// FuzzSessions restores any bytes as the sessions of a key: what is taken reads back, and is what is encoded again.
func FuzzSessions(f *testing.F) {
	db, store := openCarts(f, vfs.NewMem())
	check(f, store.Put("anna", append(cart(-5, 10, 1), cart(20, math.MaxInt64, 2)...), 3))
	check(f, db.Changes(func(_ string, _, value []byte, _ int64) error {
		f.Add(bytes.Clone(value[8:]))
		return nil
	}))
	check(f, db.Close())
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		db, store := openCarts(t, vfs.NewMem())
		defer db.Close()
		if db.Restore("carts", []byte("anna"), append(make([]byte, 8), data...), 0) != nil {
			return
		}
		check(t, db.RestoreDone(state.Position{}))
		sessions, err := store.Get("anna")
		if err != nil {
			return // the values do not decode
		}
		again := append([]state.SessionOf[int64]{}, sessions...)
		if store.Put("anna", again, 0) != nil {
			return // in no order
		}
		var encoded []byte
		check(t, db.Changes(func(_ string, _, value []byte, _ int64) error {
			encoded = bytes.Clone(value)
			return nil
		}))
		check(t, db.Commit(state.Position{}))
		queried, err := state.QuerySession(t.Context(), db, carts, "anna")
		check(t, err)
		if len(sessions) > 0 && (encoded == nil || fmt.Sprint(queried) != fmt.Sprint(sessions)) {
			t.Fatalf("%x is read as %v, which is encoded as %x and read as %v", data, sessions, encoded, queried)
		}
	})
}
