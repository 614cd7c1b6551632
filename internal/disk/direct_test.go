package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// blocksOf returns aligned memory for n blocks, each filled with its number from first on.
func blocksOf(first byte, n int) []byte {
	b := AlignedBuffer(n * DirectBlock)
	for i := range b {
		b[i] = first + byte(i/DirectBlock)
	}
	return b
}

func openDirect(t *testing.T, fsys FS, name string) DirectFile {
	t.Helper()
	f, err := OpenDirect(fsys, name)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	check(t, err)
	return f
}

// directDir is a directory on a disk: the tests' temporary one may be in memory.
func directDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(".", ".direct-*")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func everywhereDirect(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	everywhere(t, func(t *testing.T, fsys FS, dir string) {
		if fsys == OS() {
			dir = directDir(t)
		}
		test(t, fsys, dir)
	})
}

func TestDirectWritesAreReadAndGrowTheFile(t *testing.T) {
	everywhereDirect(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "")
		defer f.Close()
		check(t, f.Allocate(16*DirectBlock))
		direct := openDirect(t, fsys, name)
		defer direct.Close()
		want := blocksOf(1, 6)
		check(t, direct.WriteBlocks(0, [][]byte{blocksOf(1, 2), nil, blocksOf(3, 1)}))
		check(t, direct.WriteBlocks(3*DirectBlock, [][]byte{blocksOf(4, 3)}))
		checkContent(t, fsys, name, string(want))
		if direct.Name() != name {
			t.Errorf("name %q", direct.Name())
		}
	})
}

// TestDirectWritesAndCachedReadsAgree has the page cache hold what a direct write then replaces, and the other way round.
func TestDirectWritesAndCachedReadsAgree(t *testing.T) {
	everywhereDirect(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		f := create(t, fsys, name, "")
		defer f.Close()
		direct := openDirect(t, fsys, name)
		defer direct.Close()
		got := make([]byte, 4*DirectBlock)
		for round := range byte(50) {
			check(t, direct.WriteBlocks(0, [][]byte{blocksOf(round, 4)}))
			if n, err := f.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, blocksOf(round, 4)) {
				t.Fatalf("round %d: read %d bytes, %v, not what was written directly", round, n, err)
			}
			// Dirty pages, one of them beside those that are written directly next.
			check(t, f.Truncate(2*DirectBlock+100))
			check(t, direct.WriteBlocks(2*DirectBlock, [][]byte{blocksOf(round+100, 2)}))
			want := append(blocksOf(round, 2), blocksOf(round+100, 2)...)
			if n, err := f.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, want) {
				t.Fatalf("round %d: after a cut: read %d bytes, %v, not what was written directly", round, n, err)
			}
		}
	})
}

func TestDirectWritesRefuseWhatIsNotAligned(t *testing.T) {
	everywhereDirect(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "a")
		check(t, create(t, fsys, name, "").Close())
		direct := openDirect(t, fsys, name)
		defer direct.Close()
		for _, write := range []struct {
			offset int64
			piece  []byte
		}{
			{1, blocksOf(1, 1)},
			{-DirectBlock, blocksOf(1, 1)},
			{0, blocksOf(1, 1)[:DirectBlock-1]},
			{0, blocksOf(1, 2)[512 : 512+DirectBlock]},
		} {
			checkIs(t, direct.WriteBlocks(write.offset, [][]byte{write.piece}), syscall.EINVAL)
		}
		checkContent(t, fsys, name, "")
	})
}

func TestDirectWriteIsDurableOnReturnAndAnySectorsOfItBefore(t *testing.T) {
	m := NewCrashable(1)
	check(t, create(t, m, "a", "").Close())
	check(t, m.SyncDir("/"))
	direct := openDirect(t, m, "a")
	check(t, direct.WriteBlocks(0, [][]byte{blocksOf(1, 1)}))
	during := map[string]bool{}
	var after *Mem
	m.OnOperation(func(_ int64, call Call) {
		if call.Kind != OpWriteDirect {
			t.Errorf("operation %v", call)
		}
		if after != nil {
			return
		}
		for seed := range uint64(20) {
			crashed := m.CrashCopy(Crash{Data: SurvivesSome, Torn: true, Seed: seed})
			data, err := ReadFile(crashed, "a")
			check(t, err)
			for at := 0; at < len(data); at += sectorBytes {
				if sector := data[at:][:sectorBytes]; bytes.Count(sector, sector[:1]) != sectorBytes {
					t.Fatalf("seed %d: the sector at %d is torn", seed, at)
				}
			}
			during[string(data)] = true
		}
		after = m
	})
	check(t, direct.WriteBlocks(0, [][]byte{blocksOf(5, 2)}))
	if len(during) < 5 {
		t.Errorf("a crash during the write left only %d states", len(during))
	}
	checkContent(t, m.CrashCopy(Crash{}), "a", string(blocksOf(5, 2)))
}

func TestDirectWriteLeavesASmallerSizeToASync(t *testing.T) {
	m := NewCrashable(1)
	f := create(t, m, "a", string(blocksOf(1, 4)))
	check(t, errors.Join(f.Sync(), m.SyncDir("/"), f.Truncate(DirectBlock)))
	check(t, openDirect(t, m, "a").WriteBlocks(0, [][]byte{blocksOf(9, 1)}))
	checkContent(t, m.CrashCopy(Crash{}), "a", string(append(blocksOf(9, 1), blocksOf(2, 3)...)))
}

func TestDirectWriteBeyondTheBudgetFails(t *testing.T) {
	m := NewMem()
	f := create(t, m, "a", "")
	check(t, f.Allocate(2*DirectBlock))
	m.SetBudget(2 * DirectBlock)
	direct := openDirect(t, m, "a")
	check(t, direct.WriteBlocks(0, [][]byte{blocksOf(1, 2)}))
	checkIs(t, direct.WriteBlocks(2*DirectBlock, [][]byte{blocksOf(1, 1)}), syscall.ENOSPC)
}

func TestFailedDirectWriteStoresWholeBlocks(t *testing.T) {
	m := NewMem()
	check(t, create(t, m, "a", "").Close())
	faults := NewFaults(m, Rule{Kinds: []Kind{OpWriteDirect}, Err: syscall.EIO, ShortBytes: 2*DirectBlock + 5})
	checkIs(t, openDirect(t, faults, "a").WriteBlocks(0, [][]byte{blocksOf(1, 1), blocksOf(2, 2)}), syscall.EIO)
	checkContent(t, m, "a", string(blocksOf(1, 2)))
}

// undirected is a file system without direct writes.
type undirected struct{ FS }

func TestDirectWritesMayBeUnsupported(t *testing.T) {
	m := NewMem()
	check(t, create(t, m, "a", "").Close())
	for _, fsys := range []FS{undirected{m}, NewFaults(undirected{m})} {
		_, err := OpenDirect(fsys, "a")
		checkIs(t, err, errors.ErrUnsupported)
	}
	_, err := OpenDirect(m, "b")
	checkIs(t, err, os.ErrNotExist)
}

// Reads past the cache see the file as it is, to its last byte, wherever its end lies.
func TestUncachedReadsSeeTheFile(t *testing.T) {
	for _, size := range []int64{0, 1, DirectBlock - 1, DirectBlock, 3*DirectBlock + 7} {
		name := filepath.Join(t.TempDir(), "file")
		content := bytes.Repeat([]byte("0123456789abcde"), int(size)/15+1)[:size]
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := OpenUncached(OS(), name)
		if err != nil {
			t.Fatal(err)
		}
		buffer := AlignedBuffer(2 * DirectBlock)
		var got []byte
		for offset := int64(0); ; offset += int64(len(buffer)) {
			n, err := f.ReadAt(buffer, offset)
			got = append(got, buffer[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%d bytes: read at %d: %v", size, offset, err)
			}
		}
		if !bytes.Equal(got, content) {
			t.Errorf("%d bytes: read %d others", size, len(got))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := OpenUncached(OS(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
