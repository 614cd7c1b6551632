package disk

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"
)

func TestNthMatchingCallFails(t *testing.T) {
	m := NewMem()
	faults := NewFaults(m, Rule{Kinds: []Kind{OpWriteAt}, Pattern: "*.log", Nth: 2, Err: syscall.EIO})
	segment, index := create(t, faults, "d.log", "one"), create(t, faults, "d.index", "one")
	_, err := index.WriteAt([]byte("two"), 3)
	check(t, err)
	n, err := segment.WriteAt([]byte("two"), 3)
	checkIs(t, err, syscall.EIO)
	if n != 0 {
		t.Errorf("%d bytes written", n)
	}
	_, err = segment.WriteAt([]byte("tri"), 3)
	check(t, err)
	checkContent(t, m, "d.log", "onetri")
	if failed := faults.Failed(); len(failed) != 1 || failed[0].Name != "d.log" {
		t.Errorf("failed %v", failed)
	}
}

func TestShortWriteStoresItsFirstBytes(t *testing.T) {
	m := NewMem()
	faults := NewFaults(m, Rule{Kinds: []Kind{OpWriteAt}, Err: syscall.ENOSPC, ShortBytes: 2})
	f, err := faults.Create("a")
	check(t, err)
	n, err := f.WriteAt([]byte("data"), 0)
	checkIs(t, err, syscall.ENOSPC)
	if n != 2 {
		t.Errorf("%d bytes written", n)
	}
	checkContent(t, m, "a", "da")
}

// TestEveryKindOfCallCanFail makes each kind of call fail and looks whether it took place, which it must just when the
// rule says so.
func TestEveryKindOfCallCanFail(t *testing.T) {
	calls := map[Kind]func(FS) error{
		OpCreate:     func(fsys FS) error { _, err := fsys.Create("new"); return err },
		OpRemove:     func(fsys FS) error { return fsys.Remove("a") },
		OpRename:     func(fsys FS) error { return fsys.Rename("a", "b") },
		OpMkdirAll:   func(fsys FS) error { return fsys.MkdirAll("d") },
		OpSyncDir:    func(fsys FS) error { return fsys.SyncDir("/") },
		OpOpen:       func(fsys FS) error { _, err := fsys.Open("a"); return err },
		OpOpenWrite:  func(fsys FS) error { _, err := fsys.OpenWrite("a"); return err },
		OpList:       func(fsys FS) error { _, err := fsys.List("/"); return err },
		OpStat:       func(fsys FS) error { _, err := fsys.Stat("a"); return err },
		OpLock:       func(fsys FS) error { _, err := fsys.Lock("lock"); return err },
		OpUsage:      func(fsys FS) error { _, err := fsys.Usage("/"); return err },
		OpOpenDirect: func(fsys FS) error { _, err := OpenDirect(fsys, "a"); return err },
		OpWriteDirect: func(fsys FS) error {
			f, err := OpenDirect(fsys, "a")
			if err != nil {
				return err
			}
			return f.WriteBlocks(0, [][]byte{AlignedBuffer(DirectBlock)})
		},
		OpWriteAt:  onFile(func(f File) error { _, err := f.WriteAt([]byte("new"), 0); return err }),
		OpReadAt:   onFile(func(f File) error { _, err := f.ReadAt(make([]byte, 3), 0); return err }),
		OpTruncate: onFile(func(f File) error { return f.Truncate(1) }),
		OpAllocate: onFile(func(f File) error { return f.Allocate(1) }),
		OpSyncData: onFile(func(f File) error { return f.SyncData() }),
		OpSync:     onFile(func(f File) error { return f.Sync() }),
		OpSize:     onFile(func(f File) error { _, err := f.Size(); return err }),
		OpClose:    onFile(func(f File) error { return f.Close() }),
	}
	for kind := range Kind(len(kindNames)) {
		for _, performed := range []bool{false, true} {
			m := NewMem()
			check(t, create(t, m, "a", "old").Close())
			faults := NewFaults(m, Rule{Kinds: []Kind{kind}, Err: syscall.EIO, Performed: performed})
			err := calls[kind](faults)
			checkIs(t, err, syscall.EIO)
			var pathErr *fs.PathError
			if !errors.As(err, &pathErr) {
				t.Errorf("%v: error %v does not say where", kind, err)
			}
			if changed := changed(m); kind <= OpTruncate && changed != performed {
				t.Errorf("%v failed with performed %v: took place %v", kind, performed, changed)
			}
		}
	}
}

func onFile(call func(File) error) func(FS) error {
	return func(fsys FS) error {
		f, err := fsys.OpenWrite("a")
		if err != nil {
			return err
		}
		return call(f)
	}
}

// changed says whether m is anything else than one file a with content old.
func changed(m *Mem) bool {
	entries, _ := m.List("/")
	data, err := ReadFile(m, "a")
	return len(entries) != 1 || err != nil || string(data) != "old"
}

func TestCallsAreRecordedInOrder(t *testing.T) {
	faults := NewFaults(NewMem())
	check(t, create(t, faults, "a", "data").Close())
	want := []Call{{Kind: OpCreate, Name: "a"}, {Kind: OpWriteAt, Name: "a", Bytes: 4}, {Kind: OpClose, Name: "a"}}
	got := faults.Calls()
	if len(got) != len(want) {
		t.Fatalf("calls %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("call %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestFailedWriteAtomicLeavesTheOldContent(t *testing.T) {
	for nth := 1; ; nth++ {
		m := NewMem()
		check(t, WriteAtomic(m, "a", []byte("old")))
		faults := NewFaults(m, Rule{Nth: nth, Err: syscall.EIO, ShortBytes: 1})
		err := WriteAtomic(faults, "a", []byte("new"))
		if len(faults.Failed()) == 0 {
			check(t, err)
			checkContent(t, m, "a", "new")
			break
		}
		checkIs(t, err, syscall.EIO)
		if renamed := faults.Failed()[0].Kind == OpSyncDir; !renamed {
			checkContent(t, m, "a", "old")
		}
		check(t, WriteAtomic(m, "a", []byte("next")))
		checkContent(t, m, "a", "next")
	}
}
