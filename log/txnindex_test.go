package log

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// txnIndexOfTransactions is the file that Apache Kafka writes for appendTransactions.
var txnIndexOfTransactions = []byte{
	0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 6,
}

func txnIndexFile(t testing.TB, fsys disk.FS, base int64) []byte {
	t.Helper()
	data, err := disk.ReadFile(fsys, path(testDir, base, txnIndexSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return data
}

// crashable is a disk that can be copied as a crash would leave it.
func crashable(t testing.TB) *disk.Mem {
	fsys := disk.NewCrashable(1)
	if err := errors.Join(fsys.MkdirAll("/data"), fsys.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	return fsys
}

func TestAbortsAreInTheTransactionIndex(t *testing.T) {
	fsys := crashable(t)
	l, _ := mustOpen(t, testOptions(fsys))
	defer l.Close()
	appendTransactions(t, l)
	if data := txnIndexFile(t, fsys, 0); !bytes.Equal(data, txnIndexOfTransactions) {
		t.Errorf("before the segment is sealed: % x", data)
	}
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	if data := txnIndexFile(t, fsys.CrashCopy(disk.Crash{Data: disk.SurvivesNothing, Names: disk.SurvivesNothing}), 0); !bytes.Equal(data, txnIndexOfTransactions) {
		t.Errorf("after the segment was sealed: % x", data)
	}
}

func TestLogWithoutAbortsHasNoTransactionIndex(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	mustAppend(t, l, txnBatch(t, 1, 0, 0, 1), 1000)
	end(t, l, endOf(1, 0, 0, record.ControlCommit))
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Stat(path(testDir, 0, txnIndexSuffix)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is one: %v", err)
	}
}

// TestWrongTransactionIndexMisleadsNobody breaks the file of a sealed segment and that of the active one.
func TestWrongTransactionIndexMisleadsNobody(t *testing.T) {
	breaks := map[string]func([]byte) []byte{
		"empty":               func([]byte) []byte { return nil },
		"not whole":           func(data []byte) []byte { return data[:len(data)-1] },
		"version":             func(data []byte) []byte { data[1] = 1; return data },
		"order":               func(data []byte) []byte { return append(data[abortedEntrySize:], data[:abortedEntrySize]...) },
		"first after last":    func(data []byte) []byte { data[17] = 9; return data },
		"marker that is none": func(data []byte) []byte { data[abortedEntrySize+25] = 7; return data },
		"another producer":    func(data []byte) []byte { data[abortedEntrySize+9] = 3; return data },
		"marker before":       func(data []byte) []byte { data[18] = 0xff; return data },
	}
	for name, breakIt := range breaks {
		for _, sealed := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				fsys := disk.NewMem()
				l, _ := mustOpen(t, testOptions(fsys))
				appendTransactions(t, l)
				if sealed {
					if err := l.Roll(1000); err != nil {
						t.Fatal(err)
					}
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if err := disk.WriteAtomic(fsys, path(testDir, 0, txnIndexSuffix), breakIt(slices.Clone(txnIndexOfTransactions))); err != nil {
					t.Fatal(err)
				}
				l, _ = mustOpen(t, testOptions(fsys))
				defer l.Close()
				checkTransactions(t, l)
			})
		}
	}
}

func TestTransactionIndexIsMadeAnewAfterACrash(t *testing.T) {
	for _, survives := range []disk.Survival{disk.SurvivesNothing, disk.SurvivesEverything} {
		fsys := crashable(t)
		l, _ := mustOpen(t, testOptions(fsys))
		appendTransactions(t, l)
		mustSync(t, l)
		fsys = fsys.CrashCopy(disk.Crash{Data: survives, Names: survives})
		l, _ = mustOpen(t, testOptions(fsys))
		checkTransactions(t, l)
		if err := l.Roll(1000); err != nil {
			t.Fatal(err)
		}
		if data := txnIndexFile(t, fsys, 0); !bytes.Equal(data, txnIndexOfTransactions) {
			t.Errorf("%v: % x", survives, data)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTruncateCutsTheTransactionIndex(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	defer l.Close()
	appendTransactions(t, l)
	if err := l.Truncate(8); err != nil {
		t.Fatal(err)
	}
	checkAborted(t, l, 0, 8, AbortedTransaction{1, 0, 4})
	if err := l.Truncate(4); err != nil {
		t.Fatal(err)
	}
	checkAborted(t, l, 0, 4)
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	if data := txnIndexFile(t, fsys, 0); len(data) > 0 {
		t.Errorf("index of what was cut: % x", data)
	}
	end(t, l, endOf(1, 0, 5, record.ControlAbort))
	checkAborted(t, l, 0, 5, AbortedTransaction{1, 0, 4})
}

func TestRetentionKeepsOpenTransactions(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.RetentionMs = 1
	l, _ := mustOpen(t, o)
	defer l.Close()
	appendTransactions(t, l) // producer 3 has one open since 6
	for range 2 {
		if err := l.Roll(1000); err != nil {
			t.Fatal(err)
		}
		fill(t, l, 1)
	}
	late := int64(math.MaxInt64 / 2)
	if _, err := l.Retain(late, l.LogEndOffset()); err != nil || l.LogStartOffset() != 0 {
		t.Fatalf("log start %d, %v", l.LogStartOffset(), err)
	}
	end(t, l, endOf(3, 0, 5, record.ControlAbort))
	if _, err := l.Retain(late, l.LogEndOffset()-1); err != nil || l.LogStartOffset() != 0 {
		t.Fatalf("before the marker is committed: log start %d, %v", l.LogStartOffset(), err)
	}
	if _, err := l.Retain(late, l.LogEndOffset()); err != nil || l.LogStartOffset() != l.LogEndOffset() {
		t.Fatalf("once it is decided: log start %d of %d, %v", l.LogStartOffset(), l.LogEndOffset(), err)
	}
}

func TestDeletingRecordsDeletesOpenTransactions(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	appendTransactions(t, l)
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	if err := l.DeleteBefore(9); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Retain(1000, 9); err != nil || l.Segments() != 1 {
		t.Fatalf("%d segments, %v", l.Segments(), err)
	}
	checkUnstable(t, l, 9, 9)
	if _, open := l.OpenTransaction(3); !open {
		t.Error("the transaction is not open any more")
	}
	checkAborted(t, l, 9, 10)
	marker := end(t, l, endOf(3, 0, 5, record.ControlAbort))
	checkAborted(t, l, 9, 10, AbortedTransaction{3, 6, marker})
	checkUnstable(t, l, marker+1, math.MaxInt64)
}

func FuzzTransactionIndex(f *testing.F) {
	f.Add(txnIndexOfTransactions, int64(0), int64(9))
	f.Add(txnIndexOfTransactions[:40], int64(0), int64(9))
	f.Add(txnIndexOfTransactions, int64(0), int64(8))
	f.Fuzz(func(t *testing.T, data []byte, base, end int64) {
		base = max(base, 0)
		entries, ok := parseAbortedEntries(data, base, end)
		if !ok {
			if entries != nil {
				t.Fatal("entries of a file that is wrong")
			}
			return
		}
		if !bytes.HasPrefix(data, appendAbortedEntries(nil, entries)) {
			t.Fatalf("%+v are not what was read", entries)
		}
		previous := base - 1
		for _, e := range entries {
			if e.LastOffset <= previous || e.LastOffset >= end || e.FirstOffset > e.LastOffset || e.FirstOffset < 0 || e.lastStable > e.LastOffset+1 {
				t.Fatalf("%+v in a segment of [%d, %d)", e, base, end)
			}
			previous = e.LastOffset
		}
	})
}
