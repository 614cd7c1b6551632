package state_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
)

// drawOptions draws caches and bounds that are so small that everything is evicted and written all the time, or is not.
func drawOptions(t *rapid.T) state.Options {
	return state.Options{
		CacheBytes:   rapid.SampledFrom([]int64{1, 500, 2000, 0}).Draw(t, "cache bytes"),
		FlushBytes:   rapid.SampledFrom([]int64{1, 300, 0}).Draw(t, "flush bytes"),
		FlushRecords: rapid.SampledFrom([]int{1, 5, 0}).Draw(t, "flush records"),
	}
}

var (
	storeNames = rapid.SampledFrom(names)
	someKeys   = rapid.Custom(func(t *rapid.T) string {
		key := fmt.Sprint("k", rapid.IntRange(0, 30).Draw(t, "key"))
		if rapid.IntRange(0, 4).Draw(t, "long") == 0 {
			key += strings.Repeat("x", 40)
		}
		return key
	})
	someValues = rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat("v", rapid.IntRange(0, 20).Draw(t, "length")) + fmt.Sprint(rapid.Int().Draw(t, "value"))
	})
	someBounds = rapid.Ptr(someKeys, true)
)

// TestStoresAreWhatAModelIs does random things to two stores and a map each: changes, commits that overlap with further changes, aborts,
// crashes, checkpoints, reads and queries.
func TestStoresAreWhatAModelIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, drawOptions(t))
		var copies int
		actions := map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				w.put(storeNames.Draw(t, "store"), someKeys.Draw(t, "key"), someValues.Draw(t, "value"))
			},
			"delete": func(t *rapid.T) { w.delete(storeNames.Draw(t, "store"), someKeys.Draw(t, "key")) },
			"edit": func(t *rapid.T) {
				store, key := storeNames.Draw(t, "store"), someKeys.Draw(t, "key")
				entry, err := w.stores[store].Edit(key)
				w.check(err)
				if want, found := w.current[store][key]; entry.Found != found || entry.Value != want.value || found && entry.TimestampMs != want.timestampMs {
					t.Fatalf("edit %q of %s: %+v, want %+v %v", key, store, entry, want, found)
				}
				w.timeMs++
				entry.Set(entry.Value+"+", w.timeMs)
				w.current[store][key] = row{w.current[store][key].value + "+", w.timeMs}
				w.dirty[store][key] = true
			},
			"get": func(t *rapid.T) {
				store, key := storeNames.Draw(t, "store"), someKeys.Draw(t, "key")
				value, found, err := w.stores[store].Get(key)
				if want, has := w.current[store][key]; err != nil || found != has || value != want.value {
					t.Fatalf("get %q of %s: %q %v %v, want %+v %v", key, store, value, found, err, want, has)
				}
			},
			"range": func(t *rapid.T) {
				store, from, to := storeNames.Draw(t, "store"), someBounds.Draw(t, "from"), someBounds.Draw(t, "to")
				sameRows(t, store, w.stores[store].Range(from, to), within(w.current[store], from, to))
			},
			"query":  func(*rapid.T) { w.queriesSeeWhatIsCommitted() },
			"commit": func(*rapid.T) { w.commit() },
			"commit while it goes on": func(t *rapid.T) {
				given, after := w.changes(), w.snapshot()
				for range rapid.IntRange(0, 4).Draw(t, "changes meanwhile") {
					w.put(storeNames.Draw(t, "store"), someKeys.Draw(t, "key"), someValues.Draw(t, "value"))
				}
				if rapid.Bool().Draw(t, "changes fail meanwhile") {
					w.changesFail()
				}
				w.queriesSeeWhatIsCommitted()
				if rapid.Bool().Draw(t, "flush meanwhile") {
					w.check(w.db.Flush())
				}
				w.finish(given, after)
			},
			"changes fail": func(*rapid.T) { w.changesFail() },
			"flush":        func(*rapid.T) { w.check(w.db.Flush()) },
			"abort":        func(*rapid.T) { w.reopen() },
			"abort after the changes were handed out": func(*rapid.T) {
				w.changes()
				w.reopen()
			},
			"crash": func(t *rapid.T) {
				seed := rapid.Uint64().Draw(t, "seed")
				w.crash(rand.New(rand.NewPCG(seed, 0)), rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced percent"))
			},
			"checkpoint": func(t *rapid.T) {
				copies++
				w.checkpointOpensElsewhere(fmt.Sprint("copy", copies))
			},
		}
		t.Repeat(actions)
		w.reopen()
		w.check(w.db.Close())
	})
}

// changesFail has the last change refused: then none has been handed out.
func (w *world) changesFail() {
	w.t.Helper()
	count := 0
	for _, name := range names {
		for key := range w.dirty[name] {
			_, found := w.current[name][key]
			_, before := w.committed[name][key]
			if found || before {
				count++
			}
		}
	}
	refused, given := errors.New("refused"), 0
	err := w.db.Changes(func(string, []byte, []byte, int64) error {
		if given++; given >= count {
			return refused
		}
		return nil
	})
	if given > 0 && !errors.Is(err, refused) {
		w.t.Fatalf("%d changes of %d were handed out: %v", given, count, err)
	}
}

// checkpointOpensElsewhere makes a copy and holds it against what is committed; the DB goes on as if nothing had been.
func (w *world) checkpointOpensElsewhere(dir string) {
	w.t.Helper()
	w.check(w.db.Checkpoint(w.ctx(), dir))
	options := w.options
	options.Dir, options.Stores = dir, nil
	db, err := state.Open(options)
	w.check(err)
	for _, d := range []state.KV[string, string]{words, totals} {
		store, err := state.OpenKV(db, d)
		w.check(err)
		sameRows(w.t, "the copy of "+d.Name(), store.Range(nil, nil), w.committed[d.Name()])
	}
	w.check(db.Close())
	for _, name := range names {
		sameRows(w.t, name, w.stores[name].Range(nil, nil), maps.Clone(w.current[name]))
	}
}
