package state_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

var visitors = state.NewWindow("visitors", serde.String, serde.Int64)

// openVisitors opens a DB on fs with one window store.
func openVisitors(t testing.TB, fs vfs.FS, d state.Window[string, int64]) (*state.DB, *state.WindowStore[string, int64]) {
	t.Helper()
	db, err := state.Open(state.Options{Dir: "state", FS: fs, Stores: []state.Spec{d.Spec()}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := state.OpenWindow(db, d)
	if err != nil {
		t.Fatal(err)
	}
	return db, store
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// commitAll does what an engine does, without a changelog, and returns how much changed.
func commitAll(t testing.TB, db *state.DB) (changes int) {
	t.Helper()
	check(t, db.Changes(func(string, []byte, []byte, int64) error {
		changes++
		return nil
	}))
	check(t, db.Commit(state.Position{}))
	return changes
}

func starts(t testing.TB, store *state.WindowStore[string, int64]) string {
	t.Helper()
	var found []int64
	for r, err := range store.Closed(math.MinInt64, math.MaxInt64) {
		check(t, err)
		found = append(found, r.StartMs)
	}
	return fmt.Sprint(found)
}

func TestExpiredWindowsLeaveTheDisk(t *testing.T) {
	fs := vfs.NewMem()
	db, store := openVisitors(t, fs, visitors)
	for _, startMs := range []int64{0, 10, 20, 30} {
		check(t, store.Put("home", startMs, 1))
	}
	commitAll(t, db)
	check(t, db.Flush())
	check(t, store.Put("home", 40, 1))
	check(t, store.Put("home", 15, 1)) // never reaches the disk
	check(t, store.Expire(20))
	if got := starts(t, store); got != "[20 30 40]" {
		t.Fatalf("after Expire: %s", got)
	}
	if changes := commitAll(t, db); changes != 1 {
		t.Fatalf("%d changes for the changelog, want that of the window that has not expired", changes)
	}
	check(t, db.Close())

	db, store = openVisitors(t, fs, visitors)
	if got := starts(t, store); got != "[20 30 40]" {
		t.Fatalf("after a restart: %s", got)
	}
	check(t, store.Put("home", 0, 2)) // whatever was there before
	commitAll(t, db)
	check(t, db.Close())
	db, store = openVisitors(t, fs, visitors)
	if got := starts(t, store); got != "[0 20 30 40]" {
		t.Fatalf("after another one: %s", got)
	}
	check(t, db.Close())
}

func TestAnExpiryThatIsNotCommittedTakesNothing(t *testing.T) {
	fs := vfs.NewMem()
	db, store := openVisitors(t, fs, visitors)
	check(t, store.Put("home", 0, 1))
	commitAll(t, db)
	check(t, store.Expire(100))
	if got := starts(t, store); got != "[]" {
		t.Fatalf("after Expire: %s", got)
	}
	check(t, db.Flush())
	check(t, db.Close())
	db, store = openVisitors(t, fs, visitors)
	if got := starts(t, store); got != "[0]" {
		t.Fatalf("after an abort: %s", got)
	}
	check(t, db.Close())
}

func TestAnExpiredWindowTakesNothing(t *testing.T) {
	db, store := openVisitors(t, vfs.NewMem(), visitors)
	check(t, store.Expire(100))
	_, err := store.Edit("home", 99)
	if !errors.Is(err, state.ErrExpired) || !strings.Contains(err.Error(), "visitors") || !strings.Contains(err.Error(), "100") {
		t.Fatalf("edit: %v", err)
	}
	if err := store.Put("home", 99, 1); !errors.Is(err, state.ErrExpired) {
		t.Fatalf("put: %v", err)
	}
	check(t, store.Delete("home", 99))
	check(t, store.Put("home", 100, 1))
	check(t, db.Close())
}

func TestARestorePassesOverExpiredWindows(t *testing.T) {
	d := visitors.WithRetention(20 * time.Millisecond)
	if d.Spec().RetentionMs != 20 || d.RetentionMs() != 20 {
		t.Fatalf("%+v", d.Spec())
	}
	db, store := openVisitors(t, vfs.NewMem(), d)
	for _, startMs := range []int64{0, 30, 10, 9, 29} {
		key := binary.BigEndian.AppendUint64([]byte("home"), uint64(startMs))
		check(t, db.Restore("visitors", key, append(make([]byte, 8), 0, 0, 0, 0, 0, 0, 0, 1), 0))
	}
	check(t, db.RestoreDone(state.Position{}))
	if got := starts(t, store); got != "[0 10 29 30]" { // 0 came before anybody could know
		t.Fatal(got)
	}
	if err := db.Restore("visitors", []byte("short"), nil, 0); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Fatalf("a key without a start: %v", err)
	}
	check(t, db.Close())
}

func TestWindowsAreOpenedWithTheirCodecs(t *testing.T) {
	fs := vfs.NewMem()
	db, _ := openVisitors(t, fs, visitors)
	check(t, db.Close())
	other := state.NewWindow("visitors", serde.String, serde.String)
	if _, err := state.Open(state.Options{Dir: "state", FS: fs, Stores: []state.Spec{other.Spec()}}); !errors.Is(err, state.ErrSpec) {
		t.Fatal(err)
	}
	db, _ = openVisitors(t, fs, visitors.WithRetention(time.Hour)) // a retention is no format
	check(t, db.Close())
}

func TestEditOfAWindowAllocatesNothing(t *testing.T) {
	db, store := openVisitors(t, vfs.NewMem(), visitors)
	edit := func() {
		for startMs := int64(0); startMs < 50; startMs += 10 { // as of hopping windows
			for _, key := range [...]string{"home", "about", "a key that does not fit into a slot by far"} {
				entry, err := store.Edit(key, startMs)
				check(t, err)
				entry.Set(entry.Value+1, 7)
			}
		}
	}
	edit()
	if n := testing.AllocsPerRun(100, edit); n != 0 {
		t.Fatalf("%v allocations", n)
	}
	value, found, err := store.Get("home", 20)
	if err != nil || !found || value != 102 {
		t.Fatal(value, found, err)
	}
	check(t, db.Close())
}

func TestClosedCostsNothingWhileNothingCloses(t *testing.T) {
	db, store := openVisitors(t, vfs.NewMem(), visitors)
	check(t, store.Put("home", 1000, 1))
	if n := testing.AllocsPerRun(100, func() {
		for range store.Closed(0, 1000) {
			t.Fatal("something closed")
		}
		check(t, store.Expire(500))
	}); n > 4 {
		t.Fatalf("%v allocations", n)
	}
	check(t, db.Close())
}

// BenchmarkEditOfAWindow counts 100,000 keys in tumbling windows, as the sum of an Edit and its share of commits every 50,000 records.
func BenchmarkEditOfAWindow(b *testing.B) {
	db, store := openVisitors(b, vfs.NewMem(), visitors)
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("user-%06d", i*7919%len(keys))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		startMs := int64(i) / 1_000_000 * 60_000
		entry, err := store.Edit(keys[i%len(keys)], startMs)
		if err != nil {
			b.Fatal(err)
		}
		entry.Set(entry.Value+1, startMs)
		if i++; i%50_000 == 0 {
			check(b, store.Expire(startMs-120_000))
			commitAll(b, db)
		}
	}
	check(b, db.Close())
}
