package state_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

var (
	words  = state.NewKV("words", serde.String, serde.String)
	totals = state.NewKV("totals", serde.String, serde.String)
	names  = []string{"totals", "words"}
)

// row is a value with its timestamp, as a model has it.
type row struct {
	value       string
	timestampMs int64
}

// logRecord is a record of a changelog.
type logRecord struct {
	key, value  string
	deleted     bool
	timestampMs int64
}

// world is a DB with two stores beside what must be in them, and the changelogs that Kafka would have.
type world struct {
	t       failer
	place   string // where it is, for messages
	mem     *vfs.MemFS
	fs      vfs.FS // on mem
	options state.Options
	db      *state.DB
	stores  map[string]*state.KVStore[string, string]

	logs      map[string][]logRecord
	committed map[string]map[string]row
	current   map[string]map[string]row
	dirty     map[string]map[string]bool
	commits   int64
	timeMs    int64
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newWorld(t failer, options state.Options) *world {
	mem := vfs.NewCrashableMem()
	w := newWorldOn(t, mem, mem, options)
	w.open()
	return w
}

// newWorldOn does not open the DB yet.
func newWorldOn(t failer, mem *vfs.MemFS, fs vfs.FS, options state.Options) *world {
	w := &world{
		t: t, mem: mem, fs: fs, options: options,
		logs:      map[string][]logRecord{},
		committed: map[string]map[string]row{},
		current:   map[string]map[string]row{},
	}
	w.options.Dir = "state"
	w.options.Stores = []state.Spec{words.Spec(), totals.Spec()}
	for _, name := range names {
		w.committed[name], w.current[name] = map[string]row{}, map[string]row{}
	}
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v %s", err, w.place)
	}
}

func (w *world) open() {
	w.t.Helper()
	w.db, w.options.FS = nil, w.fs
	db, err := state.Open(w.options)
	w.check(err)
	w.db = db
	w.stores = map[string]*state.KVStore[string, string]{}
	w.dirty = map[string]map[string]bool{}
	for _, d := range []state.KV[string, string]{words, totals} {
		w.stores[d.Name()], err = state.OpenKV(db, d)
		w.check(err)
		w.dirty[d.Name()] = map[string]bool{}
	}
}

func (w *world) put(store, key, value string) {
	w.t.Helper()
	w.timeMs++
	w.db.SetTime(w.timeMs)
	w.check(w.stores[store].Put(key, value))
	w.current[store][key] = row{value, w.timeMs}
	w.dirty[store][key] = true
}

func (w *world) delete(store, key string) {
	w.t.Helper()
	w.timeMs++
	w.db.SetTime(w.timeMs)
	w.check(w.stores[store].Delete(key))
	delete(w.current[store], key)
	w.dirty[store][key] = true
}

// changes takes what changed, and holds it against what the model knows to have changed.
func (w *world) changes() map[string][]logRecord {
	w.t.Helper()
	given := map[string][]logRecord{}
	w.check(w.db.Changes(func(store string, key, value []byte, timestampMs int64) error {
		given[store] = append(given[store], logRecord{string(key), string(value), value == nil, timestampMs})
		return nil
	}))
	for _, name := range names {
		seen := map[string]bool{}
		for _, r := range given[name] {
			now, found := w.current[name][r.key]
			if seen[r.key] || !w.dirty[name][r.key] || found == r.deleted || found && now != (row{r.value, r.timestampMs}) {
				w.t.Fatalf("changes of %s have %+v, the model %+v (%v), dirty %v", name, r, now, found, w.dirty[name][r.key])
			}
			seen[r.key] = true
		}
		for key := range w.dirty[name] {
			_, found := w.current[name][key]
			_, before := w.committed[name][key]
			if !seen[key] && (found || before) {
				w.t.Fatalf("changes of %s have nothing of %q", name, key)
			}
		}
		w.dirty[name] = map[string]bool{}
	}
	return given
}

// commit does what the engine does around Kafka's commit.
func (w *world) commit() {
	w.t.Helper()
	w.finish(w.changes(), w.snapshot())
}

// finish commits changes that were taken when the stores were as in after.
func (w *world) finish(given map[string][]logRecord, after map[string]map[string]row) {
	w.t.Helper()
	for _, name := range names {
		w.logs[name] = append(w.logs[name], given[name]...)
	}
	w.committed = after
	w.commits++
	w.check(w.db.Commit(w.position()))
}

func (w *world) snapshot() map[string]map[string]row {
	copied := map[string]map[string]row{}
	for _, name := range names {
		copied[name] = maps.Clone(w.current[name])
	}
	return copied
}

func (w *world) position() state.Position {
	p := state.Position{Changelogs: map[string]state.Changelog{}, CommitID: fmt.Sprint(w.commits), WrittenMs: w.commits * 1000}
	for _, name := range names {
		p.Changelogs[name] = state.Changelog{NextOffset: int64(len(w.logs[name]))}
	}
	return p
}

// at is what a store has after a part of its changelog.
func (w *world) at(store string, next int64) map[string]row {
	rows := map[string]row{}
	for _, r := range w.logs[store][:next] {
		if r.deleted {
			delete(rows, r.key)
		} else {
			rows[r.key] = row{r.value, r.timestampMs}
		}
	}
	return rows
}

// reopen closes, opens and replays: what an abort comes to.
func (w *world) reopen() {
	w.t.Helper()
	w.check(w.db.Close())
	w.open()
	if at := w.db.Position(); fmt.Sprint(at) != fmt.Sprint(w.position()) && w.commits > 0 {
		w.t.Fatalf("after Close, the position is %+v and not %+v", at, w.position())
	}
	w.recover()
}

// crash takes a copy of the disk as a crash may leave it, and goes on with that.
func (w *world) crash(random *rand.Rand, unsyncedPercent int) {
	w.t.Helper()
	left := w.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: random})
	w.check(w.db.Close())
	w.mem, w.fs = left, left
	w.open()
	w.recover()
}

// recover checks that the state is the one at its position, replays, and checks that it is the committed one.
func (w *world) recover() {
	w.t.Helper()
	at := w.db.Position()
	for _, name := range names {
		w.same(name, w.at(name, at.Changelogs[name].NextOffset))
	}
	w.replay(at)
	for _, name := range names {
		w.same(name, w.committed[name])
		w.current[name] = maps.Clone(w.committed[name])
	}
}

func (w *world) replay(from state.Position) {
	w.t.Helper()
	for _, name := range names {
		for _, r := range w.logs[name][from.Changelogs[name].NextOffset:] {
			value := []byte(r.value)
			if r.deleted {
				value = nil
			}
			w.check(w.db.Restore(name, []byte(r.key), value, r.timestampMs))
		}
	}
	w.check(w.db.RestoreDone(w.position()))
}

// same holds a whole store against rows, by Range, by Get and by Edit.
func (w *world) same(store string, want map[string]row) {
	w.t.Helper()
	sameRows(w.t, store, w.stores[store].Range(nil, nil), want)
	for key, r := range want {
		value, found, err := w.stores[store].Get(key)
		if err != nil || !found || value != r.value {
			w.t.Fatalf("get %q of %s: %q %v %v, want %+v", key, store, value, found, err, r)
		}
		entry, err := w.stores[store].Edit(key)
		if err != nil || entry.TimestampMs != r.timestampMs || entry.Value != r.value || !entry.Found {
			w.t.Fatalf("edit %q of %s: %+v %v, want %+v", key, store, entry, err, r)
		}
	}
}

func sameRows(t failer, what string, got func(func(state.Row[string, string], error) bool), want map[string]row) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	i := 0
	for r, err := range got {
		switch {
		case err != nil:
			t.Fatalf("range of %s: %v", what, err)
		case i >= len(keys):
			t.Fatalf("range of %s has %q, which is too much", what, r.Key)
		case r.Key != keys[i] || (row{r.Value, r.TimestampMs}) != want[r.Key]:
			t.Fatalf("range of %s has %+v, want %q %+v", what, r, keys[i], want[keys[i]])
		}
		i++
	}
	if i < len(keys) {
		t.Fatalf("range of %s ends before %q", what, keys[i])
	}
}

// within is the part of rows in [from, to).
func within(rows map[string]row, from, to *string) map[string]row {
	part := map[string]row{}
	for key, r := range rows {
		if (from == nil || key >= *from) && (to == nil || key < *to) {
			part[key] = r
		}
	}
	return part
}

func (w *world) queriesSeeWhatIsCommitted() {
	w.t.Helper()
	ctx := context.Background()
	for _, d := range []state.KV[string, string]{words, totals} {
		sameRows(w.t, "committed "+d.Name(), state.QueryKVRange(ctx, w.db, d, nil, nil), w.committed[d.Name()])
		for key := range w.current[d.Name()] {
			got, found, err := state.QueryKV(ctx, w.db, d, key)
			want, has := w.committed[d.Name()][key]
			if err != nil || found != has || found && (row{got.Value, got.TimestampMs}) != want {
				w.t.Fatalf("query %q of %s: %+v %v %v, want %+v %v", key, d.Name(), got, found, err, want, has)
			}
		}
	}
}

func (w *world) ctx() context.Context { return context.Background() }

var _ failer = (*testing.T)(nil)
