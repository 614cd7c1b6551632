package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// everywhere runs the test on each implementation: what one promises, all do.
func everywhere(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS(), t.TempDir()) })
	memories := map[string]FS{
		"mem":       NewMem(),
		"crashable": NewCrashable(1),
		"faults":    NewFaults(NewMem()),
	}
	for name, fsys := range memories {
		t.Run(name, func(t *testing.T) {
			if err := fsys.MkdirAll("/data/here"); err != nil {
				t.Fatal(err)
			}
			test(t, fsys, "/data/here")
		})
	}
}

// tester is a *testing.T, *testing.B or *rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func check(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func checkIs(t tester, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func create(t tester, fsys FS, name string, data string) File {
	t.Helper()
	f, err := fsys.Create(name)
	check(t, err)
	if data != "" {
		_, err = f.WriteAt([]byte(data), 0)
		check(t, err)
	}
	return f
}

func checkContent(t tester, fsys FS, name, want string) {
	t.Helper()
	data, err := ReadFile(fsys, name)
	check(t, err)
	if string(data) != want {
		t.Fatalf("%s holds %q, want %q", name, data, want)
	}
}

func TestCreateRefusesAnExistingName(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		check(t, create(t, fsys, name, "x").Close())
		_, err := fsys.Create(name)
		checkIs(t, err, fs.ErrExist)
		_, err = fsys.Create(filepath.Join(dir, "absent", "a"))
		checkIs(t, err, fs.ErrNotExist)
		_, err = fsys.Open(filepath.Join(dir, "absent"))
		checkIs(t, err, fs.ErrNotExist)
		_, err = fsys.OpenWrite(filepath.Join(dir, "absent"))
		checkIs(t, err, fs.ErrNotExist)
	})
}

func TestReadsAndWritesAtOffsets(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "hello")
		defer f.Close()
		_, err := f.WriteAt([]byte("J"), 0)
		check(t, err)
		_, err = f.WriteAt([]byte("!"), 7) // leaves a hole of two zeros
		check(t, err)
		checkContent(t, fsys, name, "Jello\x00\x00!")
		buf := make([]byte, 4)
		n, err := f.ReadAt(buf, 6)
		if n != 2 || err != io.EOF {
			t.Errorf("read across the end: %d, %v", n, err)
		}
		if n, err = f.ReadAt(buf, 100); n != 0 || err != io.EOF {
			t.Errorf("read beyond the end: %d, %v", n, err)
		}
		if f.Name() != name {
			t.Errorf("name %q", f.Name())
		}
		reader, err := fsys.Open(name)
		check(t, err)
		defer reader.Close()
		if _, err := reader.WriteAt([]byte("x"), 0); err == nil {
			t.Error("a file opened for reading took a write")
		}
	})
}

func TestTruncateCutsAndExtendsWithZeros(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "hello")
		defer f.Close()
		check(t, f.Truncate(2))
		check(t, f.Truncate(4))
		checkContent(t, fsys, name, "he\x00\x00")
		check(t, f.Truncate(700_000))
		size, err := f.Size()
		check(t, err)
		if size != 700_000 {
			t.Errorf("size %d", size)
		}
		check(t, f.Truncate(1))
		check(t, f.Truncate(3))
		checkContent(t, fsys, name, "h\x00\x00")
		if err := f.Truncate(-1); err == nil {
			t.Error("negative size accepted")
		}
	})
}

func TestAllocateLeavesTheSize(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "a"), "abc")
		defer f.Close()
		check(t, f.Allocate(1<<20))
		check(t, f.Allocate(0))
		size, err := f.Size()
		check(t, err)
		if size != 3 {
			t.Errorf("size %d after allocate", size)
		}
		check(t, f.SyncData())
		check(t, f.Sync())
	})
}

func TestOpenFileOutlivesItsName(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "kept")
		check(t, fsys.Remove(name))
		buf := make([]byte, 4)
		if _, err := f.ReadAt(buf, 0); err != nil || string(buf) != "kept" {
			t.Errorf("read of a removed file: %q, %v", buf, err)
		}
		check(t, f.Close())
		checkIs(t, f.Close(), fs.ErrClosed)
		_, err := f.ReadAt(buf, 0)
		checkIs(t, err, fs.ErrClosed)
		checkIs(t, fsys.Remove(name), fs.ErrNotExist)
	})
}

func TestRenameReplaces(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		a, b, sub := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "sub")
		check(t, create(t, fsys, a, "new").Close())
		old := create(t, fsys, b, "old")
		defer old.Close()
		check(t, fsys.Rename(a, b))
		checkContent(t, fsys, b, "new")
		buf := make([]byte, 3)
		if _, err := old.ReadAt(buf, 0); err != nil || string(buf) != "old" {
			t.Errorf("read of a replaced file: %q, %v", buf, err)
		}
		check(t, fsys.MkdirAll(sub))
		check(t, fsys.Rename(b, filepath.Join(sub, "c")))
		check(t, fsys.Rename(sub, filepath.Join(dir, "moved")))
		checkContent(t, fsys, filepath.Join(dir, "moved", "c"), "new")
		checkIs(t, fsys.Rename(a, b), fs.ErrNotExist)
		if err := fsys.Rename(filepath.Join(dir, "moved"), filepath.Join(dir, "moved", "in")); err == nil {
			t.Error("a directory was moved into itself")
		}
	})
}

func TestListIsSortedAndStatAgrees(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		check(t, create(t, fsys, filepath.Join(dir, "b"), "12345").Close())
		check(t, create(t, fsys, filepath.Join(dir, "a"), "").Close())
		check(t, fsys.MkdirAll(filepath.Join(dir, "c", "d")))
		check(t, fsys.MkdirAll(filepath.Join(dir, "c")))
		entries, err := fsys.List(dir)
		check(t, err)
		want := []Entry{{Name: "a"}, {Name: "b", Size: 5}, {Name: "c", IsDir: true}}
		if fmt.Sprint(entries) != fmt.Sprint(want) {
			t.Errorf("entries %v, want %v", entries, want)
		}
		for _, e := range want {
			got, err := fsys.Stat(filepath.Join(dir, e.Name))
			check(t, err)
			if got != e {
				t.Errorf("stat %v, want %v", got, e)
			}
		}
		_, err = fsys.List(filepath.Join(dir, "absent"))
		checkIs(t, err, fs.ErrNotExist)
		if err := fsys.Remove(filepath.Join(dir, "c")); err == nil {
			t.Error("a directory with something in it was removed")
		}
		check(t, fsys.SyncDir(dir))
		check(t, RemoveAll(fsys, dir))
		check(t, RemoveAll(fsys, dir))
		_, err = fsys.Stat(dir)
		checkIs(t, err, fs.ErrNotExist)
	})
}

func TestLockExcludesTheSecondHolder(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, ".lock")
		held, err := fsys.Lock(name)
		check(t, err)
		_, err = fsys.Lock(name)
		checkIs(t, err, ErrLocked)
		check(t, held.Close())
		again, err := fsys.Lock(name)
		check(t, err)
		check(t, again.Close())
		_, err = fsys.Lock(filepath.Join(dir, "absent", ".lock"))
		checkIs(t, err, fs.ErrNotExist)
	})
}

func TestUsageSaysHowMuchIsFree(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		usage, err := fsys.Usage(dir)
		check(t, err)
		if usage.FreeBytes <= 0 || usage.TotalBytes < usage.FreeBytes {
			t.Errorf("usage %+v", usage)
		}
		_, err = fsys.Usage(filepath.Join(dir, "absent"))
		checkIs(t, err, fs.ErrNotExist)
	})
}

func TestWriteAtomicReplacesAndSweepsUp(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "checkpoint")
		check(t, create(t, fsys, name+TempSuffix, "left behind by a crash").Close())
		check(t, WriteAtomic(fsys, name, []byte("one")))
		checkContent(t, fsys, name, "one")
		check(t, WriteAtomic(fsys, name, nil))
		checkContent(t, fsys, name, "")
		entries, err := fsys.List(dir)
		check(t, err)
		if len(entries) != 1 {
			t.Errorf("left %v", entries)
		}
	})
}

func TestOnlyTheOperatingSystemsFilesAreBacked(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "x")
		defer f.Close()
		backed, ok := f.(Backed)
		if ok != (fsys == OS()) {
			t.Fatalf("backed: %v", ok)
		}
		if ok && backed.OSFile().Name() != name {
			t.Errorf("file %q", backed.OSFile().Name())
		}
	})
}

// TestFileMatchesAByteSlice compares a file with the simplest thing that could be one.
func TestFileMatchesAByteSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fsys := NewCrashable(1)
		f := create(t, fsys, "a", "")
		var model []byte
		grow := func(size int) {
			if size > len(model) {
				model = append(model, make([]byte, size-len(model))...)
			}
		}
		offsets := rapid.OneOf(rapid.IntRange(0, 3*blockBytes), rapid.IntRange(chunkBytes-9, chunkBytes+9))
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				off := offsets.Draw(t, "offset")
				data := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "data")
				_, err := f.WriteAt(data, int64(off))
				check(t, err)
				if len(data) > 0 {
					grow(off + len(data))
				}
				copy(model[min(off, len(model)):], data)
			},
			"truncate": func(t *rapid.T) {
				size := offsets.Draw(t, "size")
				check(t, f.Truncate(int64(size)))
				grow(size)
				model = model[:size]
			},
			"sync": func(t *rapid.T) { check(t, f.SyncData()) },
			"crash": func(t *rapid.T) {
				everything := Crash{Data: SurvivesEverything, Names: SurvivesEverything}
				fsys = rapid.SampledFrom([]*Mem{fsys.CrashCopy(everything), fsys.KillCopy()}).Draw(t, "copy")
				var err error
				f, err = fsys.OpenWrite("a")
				check(t, err)
			},
			"": func(t *rapid.T) {
				data, err := ReadFile(fsys, "a")
				check(t, err)
				if !bytes.Equal(data, model) {
					t.Fatalf("file of %d bytes differs from the model of %d", len(data), len(model))
				}
			},
		})
	})
}

func TestConcurrentReadersWritersAndNames(t *testing.T) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "shared"), "")
		defer f.Close()
		var workers sync.WaitGroup
		for worker := range 4 {
			workers.Go(func() {
				buf := bytes.Repeat([]byte{byte('a' + worker)}, 3000)
				for i := range 20 {
					off := int64((i*4 + worker) * 3000)
					if _, err := f.WriteAt(buf, off); err != nil {
						t.Error(err)
					}
					got := make([]byte, len(buf))
					if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, buf) {
						t.Errorf("worker %d reads back something else: %v", worker, err)
					}
					if err := WriteAtomic(fsys, filepath.Join(dir, fmt.Sprint(worker)), got); err != nil {
						t.Error(err)
					}
				}
			})
		}
		workers.Wait()
	})
}

func TestWriteBeyondTheBudgetStoresWhatFits(t *testing.T) {
	m := NewMem()
	m.SetBudget(2 * blockBytes)
	f := create(t, m, "a", "")
	n, err := f.WriteAt(make([]byte, 3*blockBytes), 0)
	checkIs(t, err, syscall.ENOSPC)
	if n != 2*blockBytes || m.UsedBytes() != 2*blockBytes {
		t.Errorf("%d bytes written, %d used", n, m.UsedBytes())
	}
	n, err = f.WriteAt([]byte("x"), 5*blockBytes)
	checkIs(t, err, syscall.ENOSPC)
	if n != 0 || m.UsedBytes() != 2*blockBytes {
		t.Errorf("%d bytes written, %d used", n, m.UsedBytes())
	}
	checkIs(t, f.Allocate(3*blockBytes), syscall.ENOSPC)
	checkIs(t, f.Truncate(3*blockBytes), syscall.ENOSPC)
	if _, err := f.WriteAt([]byte("over"), 10); err != nil {
		t.Errorf("overwrite in place: %v", err)
	}
	check(t, f.Truncate(1))
	if m.UsedBytes() != blockBytes {
		t.Errorf("%d used after truncate", m.UsedBytes())
	}
	check(t, f.Allocate(2*blockBytes))
	if usage, err := m.Usage("/"); err != nil || usage != (Usage{TotalBytes: 2 * blockBytes}) {
		t.Errorf("usage %+v, %v", usage, err)
	}
	check(t, m.Remove("a"))
	if m.UsedBytes() != 2*blockBytes {
		t.Errorf("%d used while the removed file is open", m.UsedBytes())
	}
	check(t, f.Close())
	if m.UsedBytes() != 0 {
		t.Errorf("%d used when all is gone", m.UsedBytes())
	}
}

func BenchmarkMemAppend(b *testing.B) {
	f, err := NewMem().Create("a")
	check(b, err)
	batch := make([]byte, 16<<10)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	var off int64
	for b.Loop() {
		if _, err := f.WriteAt(batch, off); err != nil {
			b.Fatal(err)
		}
		if off += int64(len(batch)); off > 64<<20 {
			off = 0
			check(b, f.Truncate(0))
		}
	}
}
