package log

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// closedTransactions is a directory of appendTransactions in a sealed segment, and a plain record in the next one.
func closedTransactions(t testing.TB) *disk.Mem {
	t.Helper()
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	appendTransactions(t, l)
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return fsys
}

func TestInspectionTellsOfTransactions(t *testing.T) {
	var files, batches []string
	var entries []int
	summary, err := Inspect(InspectOptions{FS: closedTransactions(t), Dir: testDir}, Visitor{
		File: func(f FileInfo) error {
			files = append(files, f.Name+": "+f.Content)
			return nil
		},
		Segment: func(s SegmentInfo) error {
			entries = append(entries, s.TxnIndexEntries)
			return nil
		},
		Batch: func(info BatchInfo, _ record.Batch) error {
			if info.Control != "" {
				batches = append(batches, fmt.Sprintf("%d %s by %d", info.BaseOffset, info.Control, info.CoordinatorEpoch))
			}
			return nil
		},
		Finding: func(f Finding) error { return fmt.Errorf("%+v", f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if summary.OpenTransactions != 1 || summary.FirstUnstableOffset != 6 || summary.AbortedTransactions != 2 {
		t.Errorf("%+v", summary)
	}
	if got := strings.Join(batches, ", "); got != "4 abort by 5, 5 commit by 5, 8 abort by 5" {
		t.Error(got)
	}
	if !slices.Equal(entries, []int{2, -1}) {
		t.Errorf("transaction index entries: %v", entries)
	}
	all := strings.Join(files, "\n")
	for _, expected := range []string{
		"00000000000000000000.txnindex: 2 aborted transactions: producer 1 [0, 4] with all below 2 stable, producer 1 [7, 8] with all below 6 stable",
		"00000000000000000009.producers: 3 producers; open transactions: producer 3 from offset 6",
	} {
		if !strings.Contains(all, expected) {
			t.Errorf("%q is missing in\n%s", expected, all)
		}
	}
}

func TestWrongTransactionIndexIsFound(t *testing.T) {
	entry := func(at int, id, first, last, stable int64) []byte {
		data := slices.Clone(txnIndexOfTransactions)
		e := abortedEntry{AbortedTransaction{id, first, last}, stable}
		copy(data[at:], appendAbortedEntries(nil, []abortedEntry{e}))
		return data
	}
	tests := []struct {
		name     string
		data     []byte // nil: no file
		expected string
	}{
		{"missing", nil, "byte -1: the file is missing: it hides the abort of producer 1 at offset 4"},
		{"short", txnIndexOfTransactions[:34], "byte -1: the abort of producer 1 at offset 8 has no entry"},
		{"not whole", txnIndexOfTransactions[:60], "byte 34: the entry cannot be right"},
		{"another marker", entry(34, 1, 5, 7, 6), "byte 34: the entry names the abort of producer 1 at offset 7, which is not there"},
		{"a commit", entry(0, 2, 2, 5, 2), "byte 0: the entry names the abort of producer 2 at offset 5, which is not there"},
		{"another producer", entry(0, 2, 0, 4, 2), "byte 0: the entry names the abort of producer 2 at offset 4, which is not there"},
		{"begins too late", entry(0, 1, 1, 4, 2), "byte 0: the entry says that producer 1 began at offset 1, with all stable below 2; it was 0 and 2"},
		{"too much is stable", entry(0, 1, 0, 4, 5), "byte 0: the entry says that producer 1 began at offset 0, with all stable below 5; it was 0 and 2"},
		{"empty", []byte{}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := closedTransactions(t)
			name := path(testDir, 0, txnIndexSuffix)
			if test.data == nil {
				if err := fsys.Remove(name); err != nil {
					t.Fatal(err)
				}
			} else if err := disk.WriteAtomic(fsys, name, test.data); err != nil {
				t.Fatal(err)
			}
			_, findings, err := Verify(InspectOptions{FS: fsys, Dir: testDir})
			if err != nil {
				t.Fatal(err)
			}
			if test.expected == "" {
				if len(findings) > 0 {
					t.Errorf("%+v", findings)
				}
				return
			}
			if len(findings) == 0 {
				t.Fatal("nothing was found")
			}
			f := findings[0]
			if got := fmt.Sprintf("byte %d: %s", f.Position, f.Problem); !strings.HasPrefix(got, test.expected) {
				t.Errorf("%s\nexpected %s", got, test.expected)
			}
			if f.Severity != Repairable || f.Path != name || f.Remedy != indexRemedy(txnIndexSuffix) {
				t.Errorf("%+v", f)
			}
			// The remedy helps.
			if err := disk.WriteAtomic(fsys, name, nil); err != nil {
				t.Fatal(err)
			}
			l, _ := mustOpen(t, testOptions(fsys))
			defer l.Close()
			checkAborted(t, l, 0, 9, AbortedTransaction{1, 0, 4}, AbortedTransaction{1, 7, 8})
		})
	}
}
