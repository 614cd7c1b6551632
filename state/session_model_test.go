package state_test

import (
	"cmp"
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

type (
	visit  = state.SessionOf[string]
	visits map[string][]visit // by key, each by start
)

var clicks = state.NewSession("clicks", serde.String, serde.String)

// sessionWorld is a session store beside what must be in it, and the changelog that Kafka would have. The model keeps no index: it looks
// at everything.
type sessionWorld struct {
	t       failer
	fs      *vfs.MemFS
	options state.Options
	db      *state.DB
	store   *state.SessionStore[string, string]

	log       []logRecord
	after     []visits // each commit
	committed visits
	current   visits
	timeMs    int64
	closedMs  int64
}

func newSessionWorld(t failer, options state.Options) *sessionWorld {
	w := &sessionWorld{t: t, fs: vfs.NewCrashableMem(), options: options, after: []visits{{}}, committed: visits{}, current: visits{}}
	w.options.Dir, w.options.Stores = "state", []state.Spec{clicks.Spec()}
	w.open()
	return w
}

func (w *sessionWorld) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

func (w *sessionWorld) open() {
	w.t.Helper()
	w.options.FS = w.fs
	var err error
	w.db, err = state.Open(w.options)
	w.check(err)
	w.store, err = state.OpenSession(w.db, clicks)
	w.check(err)
	w.closedMs = math.MinInt64
}

func (w *sessionWorld) put(key string, sessions []visit) {
	w.t.Helper()
	w.timeMs++
	w.db.SetTime(w.timeMs)
	w.check(w.store.Put(key, slices.Clone(sessions), w.timeMs))
	w.keep(key, sessions)
}

func (w *sessionWorld) keep(key string, sessions []visit) {
	if len(sessions) == 0 {
		delete(w.current, key)
	} else {
		w.current[key] = slices.Clone(sessions)
	}
}

// grow does what an aggregation does with a record: it extends a session in place, or begins one.
func (w *sessionWorld) grow(key string, atMs, gapMs int64) {
	w.t.Helper()
	sessions, err := w.store.Get(key)
	w.check(err)
	if !slices.Equal(sessions, w.current[key]) {
		w.t.Fatalf("get %q: %v, want %v", key, sessions, w.current[key])
	}
	merged := visit{StartMs: atMs, EndMs: atMs, TimestampMs: atMs, Value: "1"}
	sessions = slices.DeleteFunc(sessions, func(s visit) bool {
		touches := atMs >= s.StartMs-gapMs && atMs <= s.EndMs+gapMs
		if touches {
			merged = visit{StartMs: min(s.StartMs, merged.StartMs), EndMs: max(s.EndMs, merged.EndMs), TimestampMs: max(s.TimestampMs, merged.TimestampMs), Value: s.Value + merged.Value}
		}
		return touches
	})
	sessions = append(sessions, merged)
	slices.SortFunc(sessions, func(a, b visit) int { return cmp.Compare(a.StartMs, b.StartMs) })
	w.timeMs++
	w.db.SetTime(w.timeMs)
	w.check(w.store.Put(key, sessions, w.timeMs))
	w.keep(key, sessions)
}

func (w *sessionWorld) expire(beforeMs int64) {
	w.t.Helper()
	w.check(w.store.Expire(beforeMs))
	for key, sessions := range w.current {
		w.keep(key, slices.DeleteFunc(slices.Clone(sessions), func(s visit) bool { return s.EndMs < beforeMs }))
	}
}

// closed holds Closed against a look at everything.
func (w *sessionWorld) closed(fromMs, toMs int64) {
	w.t.Helper()
	var want []state.SessionRow[string, string]
	for key, sessions := range w.current {
		for _, s := range sessions {
			if s.EndMs >= fromMs && s.EndMs < toMs {
				want = append(want, state.SessionRow[string, string]{Key: key, SessionOf: s})
			}
		}
	}
	slices.SortFunc(want, func(a, b state.SessionRow[string, string]) int {
		return cmp.Or(cmp.Compare(a.EndMs, b.EndMs), strings.Compare(a.Key, b.Key), cmp.Compare(a.StartMs, b.StartMs))
	})
	i := 0
	for got, err := range w.store.Closed(fromMs, toMs) {
		if err != nil || i >= len(want) || got != want[i] {
			w.t.Fatalf("closed in [%d, %d): %+v (%v) at %d of %+v", fromMs, toMs, got, err, i, want)
		}
		i++
	}
	if i < len(want) {
		w.t.Fatalf("closed in [%d, %d): ends before %+v", fromMs, toMs, want[i])
	}
}

func (w *sessionWorld) commit(meanwhile func()) {
	w.t.Helper()
	w.check(w.db.Changes(func(_ string, key, value []byte, timestampMs int64) error {
		w.log = append(w.log, logRecord{string(key), string(value), value == nil, timestampMs})
		return nil
	}))
	next, after := int64(len(w.log)), maps.Clone(w.current)
	meanwhile()
	w.committed = after
	w.after = append(w.after, after)
	w.check(w.db.Commit(w.position(next)))
}

func (w *sessionWorld) position(next int64) state.Position {
	return state.Position{
		Changelogs: map[string]state.Changelog{"clicks": {NextOffset: next}},
		CommitID:   strconv.Itoa(len(w.after) - 1),
		WrittenMs:  int64(len(w.after)) * 1000,
	}
}

func (w *sessionWorld) reopen(crash func() *vfs.MemFS) {
	w.t.Helper()
	left := crash()
	w.check(w.db.Close())
	w.fs = left
	w.open()
	at := w.db.Position()
	commit, next := 0, at.Changelogs["clicks"].NextOffset
	if at.CommitID != "" {
		var err error
		commit, err = strconv.Atoi(at.CommitID)
		w.check(err)
	}
	w.same(w.after[commit])
	for _, r := range w.log[next:] {
		value := []byte(r.value)
		if r.deleted {
			value = nil
		}
		w.check(w.db.Restore("clicks", []byte(r.key), value, wallMs))
	}
	w.check(w.db.RestoreDone(w.position(int64(len(w.log)))))
	w.same(w.committed)
	w.current = maps.Clone(w.committed)
}

func (w *sessionWorld) same(want visits) {
	w.t.Helper()
	sameSessions(w.t, w.store.Range(nil, nil), want)
	for key, sessions := range want {
		if got, err := w.store.Get(key); err != nil || !slices.Equal(got, sessions) {
			w.t.Fatalf("get %q: %v %v, want %v", key, got, err, sessions)
		}
	}
}

func sameSessions(t failer, got func(func(state.SessionRow[string, string], error) bool), want visits) {
	t.Helper()
	found := visits{}
	var order []string
	for r, err := range got {
		if err != nil {
			t.Fatalf("range: %v", err)
		}
		found[r.Key] = append(found[r.Key], r.SessionOf)
		order = append(order, r.Key)
	}
	if !slices.IsSorted(order) || !maps.EqualFunc(found, want, slices.Equal) {
		t.Fatalf("range: %v in the order %v, want %v", found, order, want)
	}
}

func (w *sessionWorld) queriesSeeWhatIsCommitted() {
	w.t.Helper()
	ctx := context.Background()
	sameSessions(w.t, state.QuerySessionRange(ctx, w.db, clicks, nil, nil), w.committed)
	for key := range w.current {
		if got, err := state.QuerySession(ctx, w.db, clicks, key); err != nil || !slices.Equal(got, w.committed[key]) {
			w.t.Fatalf("query %q: %v %v, want %v", key, got, err, w.committed[key])
		}
	}
}

var (
	someTimes    = rapid.Int64Range(-10, 60)
	someSessions = rapid.Custom(func(t *rapid.T) []visit {
		starts := rapid.SliceOfNDistinct(someTimes, 0, 4, rapid.ID).Draw(t, "starts")
		slices.Sort(starts)
		var sessions []visit
		for _, start := range starts {
			end := start + rapid.Int64Range(0, 20).Draw(t, "length")
			sessions = append(sessions, visit{StartMs: start, EndMs: end, TimestampMs: end, Value: someValues.Draw(t, "value")})
		}
		return sessions
	})
)

// TestSessionStoreIsWhatAModelIs does random things to a session store and a map: records that extend and merge sessions, lists that are
// put as they come, closing and expiry in order and out of order, commits that overlap with further changes, aborts and crashes.
func TestSessionStoreIsWhatAModelIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newSessionWorld(t, drawOptions(t))
		grow := func(t *rapid.T) {
			w.grow(someKeys.Draw(t, "key"), someTimes.Draw(t, "time"), rapid.Int64Range(1, 10).Draw(t, "gap"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"grow":      grow,
			"grow more": grow,
			"put":       func(t *rapid.T) { w.put(someKeys.Draw(t, "key"), someSessions.Draw(t, "sessions")) },
			"closed":    func(t *rapid.T) { w.closed(someTimes.Draw(t, "from"), someTimes.Draw(t, "to")) },
			"closed since the last time": func(t *rapid.T) {
				toMs := max(w.closedMs, someTimes.Draw(t, "to"))
				w.closed(w.closedMs, toMs)
				w.closedMs = toMs
			},
			"expire": func(t *rapid.T) { w.expire(someTimes.Draw(t, "before")) },
			"query":  func(*rapid.T) { w.queriesSeeWhatIsCommitted() },
			"commit": func(*rapid.T) { w.commit(func() {}) },
			"commit while it goes on": func(t *rapid.T) {
				w.commit(func() {
					for range rapid.IntRange(0, 3).Draw(t, "changes meanwhile") {
						grow(t)
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
		})
		w.closed(math.MinInt64, math.MaxInt64)
		w.reopen(func() *vfs.MemFS { return w.fs })
		w.closed(math.MinInt64, math.MaxInt64)
		w.check(w.db.Close())
	})
}
