package state_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/millrace/millrace/state"
)

// smallRun does what a task does, with flushes, evictions, overlapping commits and deletions.
func smallRun(w *world, steps int) {
	for i := range steps {
		w.put(names[i%2], fmt.Sprint("key", i%17), strings.Repeat("v", i%7)+fmt.Sprint(i))
		if i%5 == 4 {
			w.delete(names[i/5%2], fmt.Sprint("key", i%13))
		}
		if i%4 == 3 {
			w.commit()
		}
	}
}

// TestCrashAfterEveryFileOperation keeps what a crash before each file operation of a run would leave, with and without what was not
// synced, and opens all of it.
func TestCrashAfterEveryFileOperation(t *testing.T) {
	type disk struct {
		fs *vfs.MemFS
		at string
	}
	var (
		mu    sync.Mutex
		disks []disk
	)
	random := rand.New(rand.NewPCG(1, 2))
	mem := vfs.NewCrashableMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{0, 50, 100} {
			disks = append(disks, disk{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random}), fmt.Sprintf("%d, %d percent: %v", len(disks)/3, percent, op)})
		}
		return nil
	}))
	w := newWorldOn(t, mem, fs, state.Options{FlushRecords: 3, CacheBytes: 1})
	w.open()
	smallRun(w, 60)
	w.check(w.db.Close())
	if len(disks) < 300 {
		t.Fatalf("only %d disks", len(disks))
	}
	positions := map[string]bool{}
	for i, d := range disks {
		if testing.Short() && i%10 != 0 {
			continue
		}
		w.mem, w.fs, w.place = d.fs, d.fs, d.at
		w.open()
		positions[w.db.Position().CommitID] = true
		w.recover()
		w.check(w.db.Close())
	}
	if len(positions) < 4 {
		t.Fatalf("all crashes left one of %v", positions)
	}
}

// TestAFullDiskEndsTheDB fails the n-th call that changes the disk, and all that follow, for each n: every later call tells the first
// failure, nothing hangs, and with room again the state is what it was at its position.
func TestAFullDiskEndsTheDB(t *testing.T) {
	for _, once := range []bool{false, true} {
		failed, n := true, int64(1)
		for ; failed; n++ {
			if failed = failAt(t, n, once, func(errorfs.Op) bool { return true }); testing.Short() {
				n += 9
			}
		}
		if n < 50 {
			t.Fatalf("only %d calls changed the disk", n)
		}
	}
}

// TestAManifestThatCannotBeWrittenEndsTheDB fails each call that makes, writes or syncs the file that says which tables there are, and the
// marker that says which file that is. Pebble would end the process.
func TestAManifestThatCannotBeWrittenEndsTheDB(t *testing.T) {
	for _, prefix := range []string{"MANIFEST-", "marker.manifest."} {
		for _, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync} {
			hits := func(op errorfs.Op) bool { return op.Kind == kind && strings.HasPrefix(path.Base(op.Path), prefix) }
			n := int64(1)
			for failAt(t, n, true, hits) {
				n++
			}
			if kind == errorfs.OpCreate && n == 1 || kind != errorfs.OpCreate && prefix == "MANIFEST-" && n < 5 {
				t.Errorf("%s: call of kind %d happens %d times only", prefix, kind, n-1)
			}
		}
	}
}

// failAt fails the n-th of some calls that change the disk, once or for good, and says whether there were that many.
func failAt(t *testing.T, n int64, once bool, hits func(errorfs.Op) bool) (failed bool) {
	var calls, full atomic.Int64
	mem := vfs.NewCrashableMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpRemove || full.Load() < 0 || !hits(op) {
			return nil
		}
		if c := calls.Add(1); c == n || c > n && !once {
			full.Store(1)
			return fmt.Errorf("%v: %w", op, syscall.ENOSPC)
		}
		return nil
	}))
	w := newWorldOn(&stopper{t: t}, mem, fs, state.Options{FlushRecords: 3, CacheBytes: 1})
	first := w.try(func() { smallRun(w, 40) })
	var closed error
	if w.db != nil {
		if first != nil {
			checkItIsBroken(t, w, first)
		}
		closed = w.db.Close()
	}
	failed = full.Load() == 1
	full.Store(-1)
	w.t = t
	w.place = fmt.Sprintf("call %d, once %v", n, once)
	w.open()
	if at := w.db.Position().CommitID; first == nil && closed == nil && at != fmt.Sprint(w.commits) {
		t.Errorf("call %d failed, nobody was told, and the position is of commit %s of %d", n, at, w.commits)
	}
	w.recover()
	smallRun(w, 10)
	w.reopen()
	w.check(w.db.Close())
	return failed
}

func checkItIsBroken(t *testing.T, w *world, first error) {
	t.Helper()
	if !errors.Is(first, state.ErrBroken) || !errors.Is(first, syscall.ENOSPC) || !strings.Contains(first.Error(), "state directory "+w.options.Dir) {
		t.Errorf("the failure is %v", first)
	}
	store := w.stores["words"]
	_, editError := store.Edit("a")
	_, _, getError := store.Get("a")
	var rangeError error
	for _, rangeError = range store.Range(nil, nil) {
	}
	_, _, queryError := state.QueryKV(w.ctx(), w.db, words, "a")
	for i, err := range []error{
		editError, getError, rangeError, queryError, store.Put("a", "b"), store.Delete("a"), w.db.Flush(), w.db.Commit(state.Position{}),
		w.db.Changes(func(string, []byte, []byte, int64) error { return nil }), w.db.Restore("words", nil, nil, 0),
		w.db.RestoreDone(state.Position{}), w.db.Checkpoint(w.ctx(), "copy"),
	} {
		if err == nil || !strings.Contains(err.Error(), first.Error()) {
			t.Errorf("call %d says %v after %v", i, err, first)
		}
	}
}

// stopper is a test whose failures end what try runs.
type stopper struct{ t *testing.T }

type stopped struct{ err error }

func (s *stopper) Helper() {}

func (s *stopper) Fatalf(format string, args ...any) {
	err, ok := args[0].(error)
	if !ok {
		s.t.Fatalf(format, args...)
	}
	panic(stopped{err})
}

// try runs what may be stopped by an error, which it returns.
func (w *world) try(run func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s, ok := r.(stopped)
			if !ok {
				panic(r)
			}
			err = s.err
		}
	}()
	if w.db == nil {
		w.open()
	}
	run()
	return nil
}
