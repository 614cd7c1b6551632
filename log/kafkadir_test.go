package log

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// kafkaTransactions is a directory of Apache Kafka 4.3.1, stopped in order: offsets 0 to 6 and 7 to 13 in two segments. Producer
// 1 aborts [0, 4] and [5, 7] and commits [9, 11], 2 commits [1, 3] and aborts [6, 10] and [12, 13], 3 has one open from 8 on.
func kafkaTransactions(t testing.TB, keep func(name string) bool) *disk.Mem {
	t.Helper()
	fsys := disk.NewMem()
	if err := fsys.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join("testdata", "kafka-transactions", "*"))
	if err != nil || len(names) < 8 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		if !keep(filepath.Base(name)) {
			continue
		}
		data, err := os.ReadFile(name)
		if err == nil {
			err = disk.WriteAtomic(fsys, filepath.Join(testDir, filepath.Base(name)), data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}

var kafkaAborted = []AbortedTransaction{{1, 0, 4}, {1, 5, 7}, {2, 6, 10}, {2, 12, 13}}

// TestTransactionsOfKafkasDirectory opens it as it is, as a kill leaves it, and with little but the batches.
func TestTransactionsOfKafkasDirectory(t *testing.T) {
	tests := map[string]func(name string) bool{
		"stopped":           func(string) bool { return true },
		"killed":            func(name string) bool { return name != fileName(14, kafkaSnapshotSuffix) },
		"without snapshots": func(name string) bool { return !strings.HasSuffix(name, kafkaSnapshotSuffix) },
		"without its own":   func(name string) bool { return strings.HasSuffix(name, logSuffix) },
		"last index missing": func(name string) bool {
			return name != fileName(7, txnIndexSuffix) && name != fileName(14, kafkaSnapshotSuffix)
		},
	}
	for name, keep := range tests {
		t.Run(name, func(t *testing.T) {
			fsys := kafkaTransactions(t, keep)
			for range 3 {
				l, _ := mustOpen(t, testOptions(fsys))
				checkUnstable(t, l, 14, 8)
				checkAborted(t, l, 0, 14, kafkaAborted...)
				checkAborted(t, l, 8, 8, kafkaAborted[2])
				checkAborted(t, l, 5, 6, kafkaAborted[1])
				if first, open := l.OpenTransaction(3); !open || first != 8 {
					t.Errorf("transaction of producer 3: %v from %d", open, first)
				}
				for _, p := range l.Producers() {
					if expected := map[int64]int16{1: 3, 2: 3, 3: 0}; p.Epoch != expected[p.ID] {
						t.Errorf("%+v", p)
					}
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			l, _ := mustOpen(t, testOptions(fsys))
			defer l.Close()
			marker := end(t, l, endOf(3, 0, 9, record.ControlAbort))
			checkAborted(t, l, 8, 15, kafkaAborted[2], AbortedTransaction{3, 8, marker}, kafkaAborted[3])
		})
	}
}

// TestTransactionIndexIsKafkas appends to a log of ours what Kafka's has.
func TestTransactionIndexIsKafkas(t *testing.T) {
	source := kafkaTransactions(t, func(string) bool { return true })
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	defer l.Close()
	for _, base := range []int64{0, 7} {
		data, err := disk.ReadFile(source, path(testDir, base, logSuffix))
		if err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(b, AppendOptions{NowMs: 1000, Internal: b.IsControl(), NewEpochOnly: true}); err != nil {
				t.Fatal(err)
			}
			data = rest
		}
		if err := l.Roll(1000); err != nil {
			t.Fatal(err)
		}
		if ours, kafkas := txnIndexFile(t, fsys, base), txnIndexFile(t, source, base); !bytes.Equal(ours, kafkas) || len(ours) == 0 {
			t.Errorf("segment %d: % x\nKafka's: % x", base, ours, kafkas)
		}
	}
}
