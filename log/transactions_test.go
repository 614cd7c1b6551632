package log

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// txnBatch is a batch of n records in a transaction of the producer.
func txnBatch(t testing.TB, id int64, epoch int16, sequence int32, n int) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.Options{
		Producer:      &record.Producer{ID: id, Epoch: epoch, BaseSequence: sequence},
		Transactional: true,
	})
	for range n {
		b.Add(1000, []byte("key"), []byte("value"))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(batch)
}

func endOf(id int64, epoch int16, coordinatorEpoch int32, how record.ControlType) record.Batch {
	return record.EndTxnMarker{Type: how, ProducerID: id, ProducerEpoch: epoch, CoordinatorEpoch: coordinatorEpoch, TimestampMs: 1000}.Batch()
}

// end appends a marker and returns its offset.
func end(t testing.TB, l *Log, marker record.Batch) int64 {
	t.Helper()
	appended, err := l.Append(marker, AppendOptions{NowMs: 1000, Internal: true})
	if err != nil {
		t.Fatalf("marker at %d: %v", l.LogEndOffset(), err)
	}
	return appended.BaseOffset
}

func checkAborted(t testing.TB, l *Log, from, to int64, expected ...AbortedTransaction) {
	t.Helper()
	aborted, err := l.AbortedTransactions(from, to)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(aborted, expected) {
		t.Errorf("aborted in [%d, %d): %+v, expected %+v", from, to, aborted, expected)
	}
}

func checkUnstable(t testing.TB, l *Log, committed, expected int64) {
	t.Helper()
	if first := l.FirstUnstable(committed); first != expected {
		t.Errorf("first unstable offset with [0, %d) committed: %d, expected %d", committed, first, expected)
	}
}

// appendTransactions appends an aborted transaction of producer 1 in [0, 4], a committed one of producer 2 in [2, 5] that
// overlaps it, one of producer 3 that is open from 6 on, and one of producer 1 that is aborted in [7, 8].
func appendTransactions(t testing.TB, l *Log) {
	mustAppend(t, l, txnBatch(t, 1, 0, 0, 2), 1000)
	mustAppend(t, l, txnBatch(t, 2, 0, 0, 1), 1000)
	mustAppend(t, l, txnBatch(t, 1, 0, 2, 1), 1000)
	end(t, l, endOf(1, 0, 5, record.ControlAbort))
	end(t, l, endOf(2, 0, 5, record.ControlCommit))
	mustAppend(t, l, txnBatch(t, 3, 0, 0, 1), 1000)
	mustAppend(t, l, txnBatch(t, 1, 0, 3, 1), 1000)
	end(t, l, endOf(1, 0, 5, record.ControlAbort))
}

func checkTransactions(t testing.TB, l *Log) {
	t.Helper()
	if first, open := l.OpenTransaction(3); !open || first != 6 {
		t.Errorf("transaction of producer 3: %d, %v", first, open)
	}
	for _, id := range []int64{1, 2, 4} {
		if first, open := l.OpenTransaction(id); open {
			t.Errorf("transaction of producer %d open since %d", id, first)
		}
	}
	checkUnstable(t, l, 9, 6)
	first, second := AbortedTransaction{1, 0, 4}, AbortedTransaction{1, 7, 8}
	checkAborted(t, l, 0, 9, first, second)
	checkAborted(t, l, 0, 7, first)
	checkAborted(t, l, 4, 8, first, second)
	checkAborted(t, l, 5, 7)
	checkAborted(t, l, 8, 9, second)
	checkAborted(t, l, 9, 9)
}

func TestTransactionsBoundWhatIsStable(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	checkUnstable(t, l, 0, math.MaxInt64)
	appendTransactions(t, l)
	for committed, expected := range map[int64]int64{0: 0, 4: 0} {
		checkUnstable(t, l, committed, expected)
	}
	checkUnstable(t, l, 5, 2)
	checkUnstable(t, l, 6, 6)
	checkTransactions(t, l)
	if marker := end(t, l, endOf(3, 0, 5, record.ControlCommit)); marker != 9 {
		t.Fatalf("marker at %d", marker)
	}
	checkUnstable(t, l, 8, 6)
	checkUnstable(t, l, 9, 6)
	checkUnstable(t, l, 10, math.MaxInt64)
}

// TestAbortedTransactionsOfAClosedLog: who asks while the log is closed is told so, and does not look for ever.
func TestAbortedTransactionsOfAClosedLog(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	appendTransactions(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if aborted, err := l.AbortedTransactions(0, 5); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, %v", aborted, err)
	}
}

func TestTransactionsSurviveRestart(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for _, roll := range []bool{false, true} {
			fsys := disk.NewMem()
			l, _ := mustOpen(t, testOptions(fsys))
			appendTransactions(t, l)
			if roll {
				if err := l.Roll(1000); err != nil {
					t.Fatal(err)
				}
			}
			mustSync(t, l)
			if crash {
				if err := l.Abandon(); err != nil {
					t.Fatal(err)
				}
			} else if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l, _ = mustOpen(t, testOptions(fsys))
			checkTransactions(t, l)
			end(t, l, endOf(3, 0, 5, record.ControlAbort))
			checkAborted(t, l, 9, 10, AbortedTransaction{3, 6, 9})
			checkUnstable(t, l, 10, math.MaxInt64)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTruncateOpensTransactionsAgain(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	appendTransactions(t, l)
	end(t, l, endOf(3, 0, 5, record.ControlAbort))
	if err := l.Truncate(9); err != nil {
		t.Fatal(err)
	}
	checkTransactions(t, l)
	if err := l.Truncate(4); err != nil {
		t.Fatal(err)
	}
	checkUnstable(t, l, 4, 0)
	checkAborted(t, l, 0, 4)
	if first, open := l.OpenTransaction(2); !open || first != 2 {
		t.Errorf("transaction of producer 2: %d, %v", first, open)
	}
	end(t, l, endOf(1, 0, 5, record.ControlAbort))
	checkAborted(t, l, 0, 5, AbortedTransaction{1, 0, 4})
}

func TestUnstableIsNeverBelowTheLogStart(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	appendTransactions(t, l)
	if err := l.DeleteBefore(8); err != nil {
		t.Fatal(err)
	}
	checkUnstable(t, l, 9, 8)
}

func TestMarkerRules(t *testing.T) {
	tests := []struct {
		name         string
		open         bool
		marker       record.Batch
		newEpochOnly bool
		err          error
	}{
		{"ends the transaction", true, endOf(1, 3, 5, record.ControlAbort), false, nil},
		{"without a transaction", false, endOf(1, 3, 5, record.ControlAbort), false, nil},
		{"newer epoch", true, endOf(1, 4, 5, record.ControlCommit), true, nil},
		{"older epoch", true, endOf(1, 2, 5, record.ControlCommit), false, ErrInvalidProducerEpoch},
		{"older epoch without a transaction", false, endOf(1, 2, 5, record.ControlCommit), true, ErrInvalidProducerEpoch},
		{"same epoch where it must be newer", true, endOf(1, 3, 5, record.ControlCommit), true, ErrInvalidProducerEpoch},
		{"repeat with the same epoch", false, endOf(1, 3, 5, record.ControlCommit), true, nil},
		{"older coordinator", true, endOf(1, 3, 4, record.ControlAbort), false, ErrCoordinatorFenced},
		{"newer coordinator", true, endOf(1, 3, 6, record.ControlAbort), false, nil},
		{"unknown producer", true, endOf(2, 0, 0, record.ControlAbort), true, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, _ := mustOpen(t, testOptions(disk.NewMem()))
			defer l.Close()
			end(t, l, endOf(1, 3, 5, record.ControlCommit))
			if test.open {
				mustAppend(t, l, txnBatch(t, 1, 3, 0, 1), 1000)
			}
			before := l.LogEndOffset()
			_, err := l.Append(test.marker, AppendOptions{NowMs: 1000, Internal: true, NewEpochOnly: test.newEpochOnly})
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, expected %v", err, test.err)
			}
			if appended := l.LogEndOffset() > before; appended != (err == nil) {
				t.Errorf("log end %d, before %d", l.LogEndOffset(), before)
			}
			if _, open := l.OpenTransaction(1); open != (test.open && (err != nil || test.marker.ProducerID() != 1)) {
				t.Errorf("open: %v", open)
			}
		})
	}
}

func TestBatchOutsideTheOpenTransactionIsRefused(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	mustAppend(t, l, txnBatch(t, 1, 0, 0, 1), 1000)
	plain := batchOf(t, 1000, &record.Producer{ID: 1, Epoch: 0, BaseSequence: 1}, "x")
	for _, internal := range []bool{false, true} {
		if _, err := l.Append(slices.Clone(plain), AppendOptions{NowMs: 1000, Internal: internal}); !errors.Is(err, ErrInvalidTxnState) {
			t.Errorf("internal %v: %v", internal, err)
		}
	}
	end(t, l, endOf(1, 0, 0, record.ControlCommit))
	mustAppend(t, l, plain, 1000)
}

func TestInternalBatchesOfATransactionHaveNoSequence(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	for range 2 {
		if _, err := l.Append(txnBatch(t, 1, 1, record.NoSequence, 2), AppendOptions{NowMs: 1000, Internal: true}); err != nil {
			t.Fatal(err)
		}
	}
	if first, open := l.OpenTransaction(1); !open || first != 0 {
		t.Errorf("open %v since %d", open, first)
	}
	late := txnBatch(t, 1, 0, record.NoSequence, 1)
	if _, err := l.Append(late, AppendOptions{NowMs: 1000, Internal: true}); !errors.Is(err, ErrInvalidProducerEpoch) {
		t.Errorf("older epoch: %v", err)
	}
	end(t, l, endOf(1, 1, 0, record.ControlAbort))
	checkAborted(t, l, 0, 5, AbortedTransaction{1, 0, 4})
}

func TestProducerWithAnOpenTransactionDoesNotExpire(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	mustAppend(t, l, txnBatch(t, 1, 0, 0, 1), 1000)
	late := 1000 + 2*l.config.Load().ProducerExpirationMs
	if n := l.ExpireProducers(late); n != 0 {
		t.Fatalf("%d expired", n)
	}
	end(t, l, endOf(1, 0, 7, record.ControlAbort))
	if p := l.Producers(); len(p) != 1 || p[0].TxnStartOffset != -1 || p[0].CoordinatorEpoch != 7 {
		t.Errorf("producers %+v", p)
	}
	if n := l.ExpireProducers(late); n != 1 {
		t.Errorf("%d expired once it was decided", n)
	}
}

// snapshotVersion1 is a .producers file as it was before transactions: producer 7, epoch 1, active at 50, one batch of
// sequences [3, 5] that ends at offset 9 with timestamp 1000.
var snapshotVersion1 = []byte{
	'm', 'r', 'p', 's', 0, 1, 0, 0, 0, 1,
	0, 0, 0, 0, 0, 0, 0, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 50, 1,
	0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x03, 0xe8,
	0, 0, 0, 0,
}

func TestOldProducerSnapshotIsRead(t *testing.T) {
	data := slices.Clone(snapshotVersion1)
	putCRC(data[len(data)-4:], data[:len(data)-4])
	p, err := decodeProducers(data)
	if err != nil {
		t.Fatal(err)
	}
	e := p.entries[7]
	if e == nil || e.open() || e.coordinatorEpoch != noCoordinatorEpoch || e.epoch != 1 || e.nextSequence() != 6 || e.lastActiveMs != 50 {
		t.Errorf("read %+v", e)
	}
}

func TestAbortedTransactionsOverlapAcrossSegments(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	mustAppend(t, l, txnBatch(t, 1, 0, 0, 1), 1000)
	mustAppend(t, l, txnBatch(t, 2, 0, 0, 1), 1000)
	end(t, l, endOf(1, 0, 0, record.ControlAbort))
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	end(t, l, endOf(2, 0, 0, record.ControlAbort))
	checkAborted(t, l, 0, 1, AbortedTransaction{1, 0, 2})
	checkAborted(t, l, 0, 2, AbortedTransaction{1, 0, 2}, AbortedTransaction{2, 1, 3})
	checkAborted(t, l, 3, 4, AbortedTransaction{2, 1, 3})
}

// openProducers are two producers with open transactions, and one without.
func openProducers(t testing.TB) *producers {
	t.Helper()
	p := someProducers(t)
	for i, id := range []int64{21, 20} {
		b := txnBatch(t, id, 1, 0, 2)
		b.SetBaseOffset(int64(100 + 10*i))
		p.apply(b, 5)
	}
	return p
}

func TestProducerSnapshotKeepsOpenTransactions(t *testing.T) {
	p := openProducers(t)
	marker := endOf(20, 1, 7, record.ControlCommit)
	marker.SetBaseOffset(120)
	p.apply(marker, 6)
	decoded, err := decodeProducers(p.encode())
	if err != nil {
		t.Fatal(err)
	}
	if e := decoded.entries[21]; e.txnFirst != 100 || e.coordinatorEpoch != noCoordinatorEpoch {
		t.Errorf("%+v", e)
	}
	if e := decoded.entries[20]; e.open() || e.coordinatorEpoch != 7 {
		t.Errorf("%+v", e)
	}
	if first := decoded.unstable.first(200); first != 100 {
		t.Errorf("first unstable offset %d", first)
	}
}

// TestSnapshotOfTheFutureIsPassedOver has one that names an open transaction beyond the offset in its name.
func TestSnapshotOfTheFutureIsPassedOver(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	appendTransactions(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteAtomic(fsys, path(testDir, 9, producersSuffix), openProducers(t).encode()); err != nil {
		t.Fatal(err)
	}
	l, _ = mustOpen(t, testOptions(fsys))
	defer l.Close()
	checkTransactions(t, l)
}

func TestTransactionsAreAskedForWhileTheyAreWritten(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.Compacted = true
	l, _ := mustOpen(t, o)
	defer l.Close()
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				committed := l.LogEndOffset()
				first := l.FirstUnstable(committed)
				aborted, err := l.AbortedTransactions(l.LogStartOffset(), min(first, committed))
				if err != nil {
					t.Error(err)
					return
				}
				for _, a := range aborted {
					if a.FirstOffset >= min(first, committed) {
						t.Errorf("%+v is not stable: first unstable %d, committed %d", a, first, committed)
					}
				}
			}
		})
	}
	for i := range int32(300) {
		mustAppend(t, l, txnBatch(t, int64(i%2), 0, i/2, 1), 1000)
		if i%3 == 2 {
			end(t, l, endOf(int64(i%2), 0, 0, record.ControlType(i%2)))
		}
		if i%50 == 49 {
			if _, err := l.Compact(CompactOptions{NowMs: 1000, Before: l.LogEndOffset(), MapBytes: 1 << 20}); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	readers.Wait()
}
