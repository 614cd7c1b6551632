package state_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

var views = state.NewWindow("views", serde.String, serde.String)

// windowKey is a key in a window.
type windowKey struct {
	startMs int64
	key     string
}

func compareWindowKeys(a, b windowKey) int {
	return cmp.Or(cmp.Compare(a.startMs, b.startMs), cmp.Compare(a.key, b.key))
}

// windowWorld is a window store beside what must be in it, and the changelog that Kafka would have.
type windowWorld struct {
	t       failer
	fs      *vfs.MemFS
	options state.Options
	db      *state.DB
	store   *state.WindowStore[string, string]

	log       []logRecord
	floors    []int64 // of each commit: what begins before has expired
	committed map[windowKey]row
	current   map[windowKey]row
	floorMs   int64
	timeMs    int64
}

func newWindowWorld(t failer, options state.Options) *windowWorld {
	w := &windowWorld{t: t, fs: vfs.NewCrashableMem(), options: options, floors: []int64{math.MinInt64},
		committed: map[windowKey]row{}, current: map[windowKey]row{}, floorMs: math.MinInt64}
	w.options.Dir, w.options.Stores = "state", []state.Spec{views.Spec()}
	w.open()
	return w
}

func (w *windowWorld) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

func (w *windowWorld) open() {
	w.t.Helper()
	w.options.FS = w.fs
	var err error
	w.db, err = state.Open(w.options)
	w.check(err)
	w.store, err = state.OpenWindow(w.db, views)
	w.check(err)
}

func (w *windowWorld) put(at windowKey, value string) {
	w.t.Helper()
	w.timeMs++
	w.db.SetTime(w.timeMs)
	err := w.store.Put(at.key, at.startMs, value)
	if at.startMs < w.floorMs {
		if !errors.Is(err, state.ErrExpired) {
			w.t.Fatalf("put into a window that begins at %d, expired below %d: %v", at.startMs, w.floorMs, err)
		}
		return
	}
	w.check(err)
	w.current[at] = row{value, w.timeMs}
}

func (w *windowWorld) delete(at windowKey) {
	w.t.Helper()
	w.check(w.store.Delete(at.key, at.startMs))
	delete(w.current, at)
}

func (w *windowWorld) expire(beforeMs int64) {
	w.t.Helper()
	w.check(w.store.Expire(beforeMs))
	w.floorMs = max(w.floorMs, beforeMs)
	w.current = since(w.current, beforeMs)
}

// since is the part of rows whose windows do not begin before a time.
func since(rows map[windowKey]row, floorMs int64) map[windowKey]row {
	part := map[windowKey]row{}
	for at, r := range rows {
		if at.startMs >= floorMs {
			part[at] = r
		}
	}
	return part
}

// commit commits what changes when it begins; meanwhile runs between Changes and Commit.
func (w *windowWorld) commit(meanwhile func()) {
	w.t.Helper()
	w.check(w.db.Changes(func(_ string, key, value []byte, timestampMs int64) error {
		w.log = append(w.log, logRecord{string(key), string(value), value == nil, timestampMs})
		return nil
	}))
	next, after, floorMs := int64(len(w.log)), since(w.current, math.MinInt64), w.floorMs
	meanwhile()
	w.committed = after
	w.floors = append(w.floors, floorMs)
	w.check(w.db.Commit(w.position(next)))
}

func (w *windowWorld) position(next int64) state.Position {
	return state.Position{
		Changelogs: map[string]state.Changelog{"views": {NextOffset: next}},
		CommitID:   strconv.Itoa(len(w.floors) - 1),
		WrittenMs:  int64(len(w.floors)) * 1000,
	}
}

// recover checks that the state is the one at its position, replays, and expires as an operator does when it starts. What the changelog
// has of windows that had expired, a replay may bring back until then.
func (w *windowWorld) recover() {
	w.t.Helper()
	at := w.db.Position()
	commit, next := 0, at.Changelogs["views"].NextOffset
	if at.CommitID != "" {
		var err error
		commit, err = strconv.Atoi(at.CommitID)
		w.check(err)
	}
	rows := map[windowKey]row{}
	for _, r := range w.log[:next] {
		apply(rows, r)
	}
	floorMs := w.floors[commit]
	sameWindows(w.t, "at the position", w.store.Closed(floorMs, math.MaxInt64), since(rows, floorMs))
	for _, r := range w.log[next:] {
		value := []byte(r.value)
		if r.deleted {
			value = nil
		}
		apply(rows, r)
		w.check(w.db.Restore("views", []byte(r.key), value, wallMs))
	}
	w.check(w.db.RestoreDone(w.position(int64(len(w.log)))))
	floorMs = w.floors[len(w.floors)-1]
	sameWindows(w.t, "replayed", w.store.Closed(floorMs, math.MaxInt64), since(rows, floorMs))
	w.committed = map[windowKey]row{}
	for r, err := range w.store.Closed(math.MinInt64, math.MaxInt64) {
		w.check(err)
		at := windowKey{r.StartMs, r.Key}
		w.committed[at] = row{r.Value, r.TimestampMs}
		if w.committed[at] != rows[at] {
			w.t.Fatalf("replayed: %+v, which the changelog does not have", r)
		}
	}
	w.floorMs, w.current = math.MinInt64, w.committed
	w.expire(floorMs)
	w.same(w.current)
}

// wallMs is the time that records of the changelogs of windows and sessions have.
const wallMs = 1_800_000_000_000

func apply(rows map[windowKey]row, r logRecord) {
	cut := len(r.key) - 8
	at := windowKey{int64(binary.BigEndian.Uint64([]byte(r.key[cut:]))), r.key[:cut]}
	if r.deleted {
		delete(rows, at)
	} else {
		rows[at] = row{r.value[8:], r.timestampMs} // the timestamp is in front too
	}
}

// reopen is what an abort comes to. What was handed out and not committed is not in the log.
func (w *windowWorld) reopen(crash func() *vfs.MemFS) {
	w.t.Helper()
	left := crash()
	w.check(w.db.Close())
	w.fs = left
	w.open()
	w.recover()
}

func (w *windowWorld) same(want map[windowKey]row) {
	w.t.Helper()
	sameWindows(w.t, "closed", w.store.Closed(math.MinInt64, math.MaxInt64), want)
	for at, r := range want {
		value, found, err := w.store.Get(at.key, at.startMs)
		if err != nil || !found || value != r.value {
			w.t.Fatalf("get %v: %q %v %v, want %+v", at, value, found, err, r)
		}
	}
}

func sameWindows(t failer, what string, got func(func(state.WindowRow[string, string], error) bool), want map[windowKey]row) {
	t.Helper()
	var keys []windowKey
	for at := range want {
		keys = append(keys, at)
	}
	slices.SortFunc(keys, compareWindowKeys)
	i := 0
	for r, err := range got {
		switch {
		case err != nil:
			t.Fatalf("%s: %v", what, err)
		case i >= len(keys):
			t.Fatalf("%s: %+v is too much", what, r)
		case keys[i] != windowKey{r.StartMs, r.Key} || row{r.Value, r.TimestampMs} != want[keys[i]]:
			t.Fatalf("%s: %+v, want %v %+v", what, r, keys[i], want[keys[i]])
		}
		i++
	}
	if i < len(keys) {
		t.Fatalf("%s: ends before %v", what, keys[i])
	}
}

// part is the rows with keys in [from, to) and starts in [fromMs, toMs).
func part(rows map[windowKey]row, from, to *string, fromMs, toMs int64) map[windowKey]row {
	found := map[windowKey]row{}
	for at, r := range rows {
		if (from == nil || at.key >= *from) && (to == nil || at.key < *to) && at.startMs >= fromMs && at.startMs < toMs {
			found[at] = r
		}
	}
	return found
}

func (w *windowWorld) queriesSeeWhatIsCommitted() {
	w.t.Helper()
	ctx := context.Background()
	sameWindows(w.t, "query", state.QueryWindowRange(ctx, w.db, views, nil, nil, math.MinInt64, math.MaxInt64), w.committed)
	for _, rows := range []map[windowKey]row{w.committed, w.current} {
		for at := range rows {
			got, found, err := state.QueryWindow(ctx, w.db, views, at.key, at.startMs)
			want, has := w.committed[at]
			if err != nil || found != has || found && (row{got.Value, got.TimestampMs}) != want {
				w.t.Fatalf("query %v: %+v %v %v, want %+v %v", at, got, found, err, want, has)
			}
			next := at.key + "\x00"
			sameWindows(w.t, "query of a key", state.QueryWindowFetch(ctx, w.db, views, at.key, -5, 12), part(w.committed, &at.key, &next, -5, 12))
		}
	}
}

var (
	someStarts = rapid.OneOf(rapid.Int64Range(-3, 20), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64 - 1}))
	someSpots  = rapid.Custom(func(t *rapid.T) windowKey {
		return windowKey{someStarts.Draw(t, "start"), someKeys.Draw(t, "key")}
	})
)

// TestWindowStoreIsWhatAModelIs does random things to a window store and a map: changes, expiry, commits that overlap with further
// changes, aborts, crashes, reads and queries.
func TestWindowStoreIsWhatAModelIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWindowWorld(t, drawOptions(t))
		put := func(t *rapid.T) { w.put(someSpots.Draw(t, "at"), someValues.Draw(t, "value")) }
		expire := func(t *rapid.T) { w.expire(rapid.Int64Range(-5, 15).Draw(t, "before")) }
		t.Repeat(map[string]func(*rapid.T){
			"put":      put,
			"put more": put,
			"delete":   func(t *rapid.T) { w.delete(someSpots.Draw(t, "at")) },
			"expire":   expire,
			"edit": func(t *rapid.T) {
				at := windowKey{max(w.floorMs, someStarts.Draw(t, "start")), someKeys.Draw(t, "key")}
				entry, err := w.store.Edit(at.key, at.startMs)
				w.check(err)
				if want, found := w.current[at]; entry.Found != found || entry.Value != want.value || found && entry.TimestampMs != want.timestampMs {
					t.Fatalf("edit %v: %+v, want %+v %v", at, entry, want, found)
				}
				w.timeMs++
				entry.Set(entry.Value+"+", w.timeMs)
				w.current[at] = row{w.current[at].value + "+", w.timeMs}
			},
			"get": func(t *rapid.T) {
				at := someSpots.Draw(t, "at")
				value, found, err := w.store.Get(at.key, at.startMs)
				if want, has := w.current[at]; err != nil || found != has || value != want.value {
					t.Fatalf("get %v: %q %v %v, want %+v %v", at, value, found, err, want, has)
				}
			},
			"range": func(t *rapid.T) {
				from, to := someBounds.Draw(t, "from"), someBounds.Draw(t, "to")
				fromMs, toMs := someStarts.Draw(t, "from start"), someStarts.Draw(t, "to start")
				sameWindows(t, "range", w.store.Range(from, to, fromMs, toMs), part(w.current, from, to, fromMs, toMs))
			},
			"fetch": func(t *rapid.T) {
				key := someKeys.Draw(t, "key")
				fromMs, toMs := someStarts.Draw(t, "from start"), someStarts.Draw(t, "to start")
				next := key + "\x00"
				sameWindows(t, "fetch", w.store.Fetch(key, fromMs, toMs), part(w.current, &key, &next, fromMs, toMs))
			},
			"query":  func(*rapid.T) { w.queriesSeeWhatIsCommitted() },
			"commit": func(*rapid.T) { w.commit(func() {}) },
			"commit while it goes on": func(t *rapid.T) {
				w.commit(func() {
					for range rapid.IntRange(0, 3).Draw(t, "changes meanwhile") {
						put(t)
					}
					if rapid.Bool().Draw(t, "expire meanwhile") {
						expire(t)
					}
					w.queriesSeeWhatIsCommitted()
					if rapid.Bool().Draw(t, "flush meanwhile") {
						w.check(w.db.Flush())
					}
				})
			},
			"flush": func(*rapid.T) { w.check(w.db.Flush()) },
			"abort": func(*rapid.T) { w.reopen(func() *vfs.MemFS { return w.fs }) },
			"crash": func(t *rapid.T) {
				random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
				percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced percent")
				w.reopen(func() *vfs.MemFS {
					return w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
				})
			},
			"": func(t *rapid.T) { sameWindows(t, "all", w.store.Closed(math.MinInt64, math.MaxInt64), w.current) },
		})
		w.reopen(func() *vfs.MemFS { return w.fs })
		w.check(w.db.Close())
	})
}
