package state_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

func TestADirectoryHasOneOwner(t *testing.T) {
	for name, options := range map[string]state.Options{
		"disk":   {Dir: t.TempDir()},
		"memory": {Dir: "state", FS: vfs.NewMem()},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := state.Open(options)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := state.Open(options); !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), options.Dir) {
				t.Errorf("a second open says %v", err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if db, err = state.Open(options); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAStoreOpensOnlyAsItWasWritten(t *testing.T) {
	options := state.Options{Dir: "state", FS: vfs.NewMem(), Stores: []state.Spec{words.Spec()}}
	db, err := state.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	other := state.NewKV("words", serde.String, serde.Int64)
	if _, err := state.OpenKV(db, other); !errors.Is(err, state.ErrSpec) {
		t.Errorf("another descriptor opens with %v", err)
	}
	if _, err := state.OpenKV(db, totals); err == nil || !strings.Contains(err.Error(), "totals") {
		t.Errorf("a store that is not there opens with %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	options.Stores = []state.Spec{other.Spec()}
	_, err = state.Open(options)
	if !errors.Is(err, state.ErrSpec) {
		t.Errorf("another spec opens with %v", err)
	}
	for _, part := range []string{"words", "string", "int64", "another name"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	options.Stores = []state.Spec{words.Spec()}
	if db, err = state.Open(options); err != nil {
		t.Fatalf("after the refusal: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAStoreThatIsNotAskedForIsDropped: it comes back empty and without a position, so that it is restored.
func TestAStoreThatIsNotAskedForIsDropped(t *testing.T) {
	w := newWorld(t, state.Options{})
	w.put("words", "a", "1")
	w.put("totals", "a", "1")
	w.commit()
	w.check(w.db.Close())

	w.options.Stores = []state.Spec{words.Spec()}
	db, err := state.Open(w.options)
	w.check(err)
	if at := db.Position().Changelogs; len(at) != 1 || at["words"].NextOffset != 1 {
		t.Errorf("the position is %v", at)
	}
	w.check(db.Close())

	w.options.Stores = []state.Spec{words.Spec(), totals.Spec()}
	w.open()
	w.same("words", w.committed["words"])
	w.same("totals", nil)
	if _, found := w.db.Position().Changelogs["totals"]; found {
		t.Error("the dropped store has a position")
	}
	w.check(w.db.Close())
}

func TestAFormatOfTheFutureIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	raw, err := pebble.Open("state", &pebble.Options{FS: fs, LoggerAndTracer: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(raw.Set([]byte("\x00\x00format"), []byte("2"), nil), raw.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := state.Open(state.Options{Dir: "state", FS: fs}); err == nil || !strings.Contains(err.Error(), `"2"`) {
		t.Errorf("opened with %v", err)
	}
}

// TestADamagedFileIsNamed: what cannot be read is an error that names the directory and says what to do.
func TestADamagedFileIsNamed(t *testing.T) {
	w := newWorld(t, state.Options{})
	for i := range 5000 {
		w.put("words", fmt.Sprintf("%08d", i), fmt.Sprint(i*i))
	}
	w.commit()
	w.check(w.db.Close())
	names, err := w.mem.List("state")
	w.check(err)
	for _, name := range names {
		if filepath.Ext(name) == ".sst" {
			damage(t, w.mem, "state/"+name)
		}
	}
	w.open()
	_, _, err = w.stores["words"].Get("00002500")
	if !errors.Is(err, state.ErrDamaged) || !strings.Contains(err.Error(), "state directory state") || !strings.Contains(err.Error(), "remove the directory") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("reading a damaged file says %v", err)
	}
	if again := w.db.Flush(); !errors.Is(again, state.ErrDamaged) {
		t.Errorf("afterwards: %v", again)
	}
	w.check(w.db.Close())
}

func damage(t *testing.T, fs *vfs.MemFS, name string) {
	t.Helper()
	file, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for offset := info.Size() / 4; offset < info.Size()/2; offset++ {
		if _, err := file.WriteAt([]byte{0xa5}, offset); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestACheckpointDoesNotReplaceADirectory(t *testing.T) {
	w := newWorld(t, state.Options{})
	w.put("words", "a", "1")
	w.commit()
	w.check(w.mem.MkdirAll("copy", 0o755))
	if err := w.db.Checkpoint(context.Background(), "copy"); err == nil || !strings.Contains(err.Error(), "copy") {
		t.Errorf("checkpoint into a directory that is there: %v", err)
	}
	w.put("words", "b", "1") // the DB is as good as before
	w.commit()
	w.reopen()
	w.check(w.db.Close())
	if err := w.db.Close(); err != nil {
		t.Errorf("a second close: %v", err)
	}
	if err := w.db.Flush(); !errors.Is(err, state.ErrClosed) {
		t.Errorf("use after close: %v", err)
	}
}

// quiet logs nothing.
type quiet struct{ pebble.LoggerAndTracer }

func (quiet) Infof(string, ...any)                   {}
func (quiet) Errorf(string, ...any)                  {}
func (quiet) Eventf(context.Context, string, ...any) {}
func (quiet) IsTracingEnabled(context.Context) bool  { return false }

// logicalBytes is all that Pebble has after a compaction, but the position.
func logicalBytes(t *testing.T, w *world) (all []string) {
	t.Helper()
	raw, err := pebble.Open("state", &pebble.Options{FS: w.mem, DisableWAL: true, LoggerAndTracer: quiet{}})
	w.check(err)
	w.check(raw.Compact(context.Background(), []byte{0}, []byte{0xff, 0xff}, false))
	iterator, err := raw.NewIter(nil)
	w.check(err)
	for ok := iterator.First(); ok; ok = iterator.Next() {
		if !strings.HasSuffix(string(iterator.Key()), "position") {
			all = append(all, string(iterator.Key())+"="+string(iterator.Value()))
		}
	}
	w.check(errors.Join(iterator.Close(), raw.Close()))
	return all
}

// TestCachesAndFlushesLeaveNoTrace: one run with other caches, bounds, commits and crashes leaves the same bytes.
func TestCachesAndFlushesLeaveNoTrace(t *testing.T) {
	var want []string
	for i, options := range []state.Options{{}, {CacheBytes: 1}, {CacheBytes: 1, FlushRecords: 1}, {FlushBytes: 200}} {
		for commits := range 3 {
			w := newWorld(t, options)
			for round := range 4 {
				smallRun(w, 20)
				if round <= commits {
					w.commit()
					w.reopen()
				}
			}
			w.commit()
			w.check(w.db.Close())
			got := logicalBytes(t, w)
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("options %d, commits %d: %q\nwant %q", i, commits, got, want)
			}
		}
	}
}
