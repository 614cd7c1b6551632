package partition

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// inTransaction makes a batch one of a transactional producer.
func inTransaction(id int64, epoch int16, sequence int32) func(*record.Options) {
	return func(o *record.Options) {
		from(id, epoch, sequence)(o)
		o.Transactional = true
	}
}

// write appends a batch of a transaction, which the coordinator agrees to, and waits for the commit.
func write(t testing.TB, p *Partition, id int64, epoch int16, sequence int32, values ...string) log.Appended {
	t.Helper()
	v, err := p.BeginVerification(id, epoch, sequence, false)
	if err != nil {
		t.Fatal(err)
	}
	appended, err := p.AppendInTransaction(batch(t, inTransaction(id, epoch, sequence), values...), nowMs, Client, v)
	if err == nil {
		err = p.AwaitCommitted(context.Background(), appended.LastOffset+1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return appended
}

func marker(id int64, epoch int16, how record.ControlType) record.EndTxnMarker {
	return record.EndTxnMarker{Type: how, ProducerID: id, ProducerEpoch: epoch, TimestampMs: nowMs}
}

// end ends a transaction and waits for the commit of its marker.
func end(t testing.TB, p *Partition, id int64, epoch int16, how record.ControlType) log.Appended {
	t.Helper()
	appended, err := p.EndTransaction(marker(id, epoch, how), false, nowMs)
	if err == nil {
		err = p.AwaitCommitted(context.Background(), appended.LastOffset+1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return appended
}

func wantStable(t testing.TB, p *Partition, lastStable, highWatermark int64) {
	t.Helper()
	if o := p.Offsets(); o.LastStable != lastStable || o.HighWatermark != highWatermark {
		t.Errorf("%+v, want last stable offset %d, high watermark %d", o, lastStable, highWatermark)
	}
}

func TestLastStableOffsetWaitsForTheFirstOpenTransaction(t *testing.T) {
	for flush := FlushCommit; flush <= FlushOS; flush++ {
		t.Run(flush.String(), func(t *testing.T) {
			files := disk.NewMem()
			p := open(t, files, withFlush(flush))
			produce(t, p, batch(t, nil, "plain"))
			wantStable(t, p, 1, 1)
			write(t, p, 1, 0, 0, "a", "b")
			write(t, p, 2, 0, 0, "c")
			produce(t, p, batch(t, nil, "plain"))
			wantStable(t, p, 1, 5)
			end(t, p, 2, 0, record.ControlAbort)
			wantStable(t, p, 1, 6)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			p = open(t, files, withFlush(flush))
			wantStable(t, p, 1, 6)
			end(t, p, 1, 0, record.ControlCommit)
			wantStable(t, p, 7, 7)
			aborted, err := p.Aborted(0, 7)
			if want := []log.AbortedTransaction{{ProducerID: 2, FirstOffset: 3, LastOffset: 5}}; err != nil || !slices.Equal(aborted, want) {
				t.Errorf("aborted %v, %v, want %v", aborted, err, want)
			}
		})
	}
}

// TestTransactionIsOpenUntilItsMarkerIsCommitted: a marker that a power cut could take back decides nothing.
func TestTransactionIsOpenUntilItsMarkerIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newGate()
		p := open(t, files, nil)
		write(t, p, 1, 0, 0, "a")
		files.shut()
		if _, err := p.Append(batch(t, nil, "plain"), nowMs, Client); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // its sync is under way
		appended, err := p.EndTransaction(marker(1, 0, record.ControlCommit), false, nowMs)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantStable(t, p, 0, 1)
		files.letThrough()
		synctest.Wait()
		wantStable(t, p, 0, 2) // all before the marker is committed
		files.open()
		if err := p.AwaitCommitted(t.Context(), appended.LastOffset+1); err != nil {
			t.Fatal(err)
		}
		wantStable(t, p, 3, 3)
	})
}

// TestPollIsWokenByWhatItReads: one of a read_committed consumer is not woken by what it may not see.
func TestPollIsWokenByWhatItReads(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	committed, uncommitted := NewWaiter(), NewWaiter()
	p.Subscribe(committed, ReadCommitted)
	p.Subscribe(uncommitted, ReadUncommitted)
	poked := func(w *Waiter) bool {
		select {
		case <-w.Poked():
			return true
		default:
			return false
		}
	}
	steps := []struct {
		name string
		do   func()
		want bool // of the read_committed consumer
	}{
		{"plain", func() { produce(t, p, batch(t, nil, "v")) }, true},
		{"in a transaction", func() { write(t, p, 1, 0, 0, "v") }, false},
		{"plain behind it", func() { produce(t, p, batch(t, nil, "v")) }, false},
		{"marker", func() { end(t, p, 1, 0, record.ControlCommit) }, true},
	}
	for _, step := range steps {
		step.do()
		if got := poked(committed); got != step.want || !poked(uncommitted) {
			t.Errorf("%s: poll of a read_committed consumer woken: %v, want %v; of the other one always", step.name, got, step.want)
		}
	}
	write(t, p, 1, 0, 1, "v")
	if _, err := p.DeleteRecords(t.Context(), -1); err != nil {
		t.Fatal(err)
	}
	if !poked(committed) {
		t.Error("the log start moved and nobody was told")
	}
}

func TestReadCommittedEndsAtTheLastStableOffset(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	produce(t, p, batch(t, nil, "plain"))
	write(t, p, 1, 0, 0, "a")
	for isolation, want := range map[Isolation]int64{ReadCommitted: 1, ReadUncommitted: 2} {
		r, offsets, err := p.Read(0, 1<<20, true, isolation)
		if err != nil || r == nil || r.NextOffset() != want {
			t.Fatalf("read %v with %+v, %v, want up to %d", r, offsets, err, want)
		}
		r.Release()
		if found, err := p.Find(latest, isolation); err != nil || found.Offset != want {
			t.Errorf("latest is %+v, %v, want %d", found, err, want)
		}
	}
	if r, offsets, err := p.Read(1, 1<<20, true, ReadCommitted); r != nil || err != nil {
		t.Errorf("read %v with %+v, %v beyond the last stable offset", r, offsets, err)
	}
	write(t, p, 1, 0, 1, "b", "c") // the last one is the youngest record
	for _, timestampMs := range []int64{nowMs + 1, maxTimestamp} {
		for isolation, want := range map[Isolation]int64{ReadCommitted: -1, ReadUncommitted: 3} {
			if found, err := p.Find(timestampMs, isolation); err != nil || found.Offset != want {
				t.Errorf("timestamp %d: found %+v, %v, want %d", timestampMs, found, err, want)
			}
		}
	}
}

// TestLateProduceOpensNoTransaction: what the coordinator agreed to counts only until the transaction is ended (A12).
func TestLateProduceOpensNoTransaction(t *testing.T) {
	verify := func(t *testing.T, p *Partition, epoch int16, sequence int32) *Verification {
		t.Helper()
		v, err := p.BeginVerification(1, epoch, sequence, false)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	reopened := func(t *testing.T, p *Partition) *Partition {
		t.Helper()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, p.options.Log.FS, nil)
	}
	tests := map[string]struct {
		// arrange returns what the late append, of epoch 0 and sequence 0 unless said, comes with.
		arrange func(t *testing.T, p *Partition) (*Partition, *Verification)
		batch   func(*record.Options)
		want    error
	}{
		"in time":        {func(t *testing.T, p *Partition) (*Partition, *Verification) { return p, verify(t, p, 0, 0) }, nil, nil},
		"never verified": {func(t *testing.T, p *Partition) (*Partition, *Verification) { return p, nil }, nil, log.ErrInvalidTxnState},
		"aborted": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			v := verify(t, p, 0, 0)
			end(t, p, 1, 0, record.ControlAbort)
			return p, v
		}, nil, log.ErrInvalidTxnState},
		"aborted, and a restart": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			v := verify(t, p, 0, 0)
			end(t, p, 1, 0, record.ControlAbort)
			return reopened(t, p), v
		}, nil, log.ErrInvalidTxnState},
		"restart": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			v := verify(t, p, 0, 0)
			return reopened(t, p), v
		}, nil, log.ErrInvalidTxnState},
		"aborted, and another is verified": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			v := verify(t, p, 0, 0)
			end(t, p, 1, 0, record.ControlAbort)
			verify(t, p, 0, 0)
			return p, v
		}, nil, log.ErrInvalidTxnState},
		"open, but ended before the append": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			write(t, p, 1, 0, 0, "first")
			v := verify(t, p, 0, 1)
			if v != nil {
				t.Error("the coordinator was to be asked about an open transaction")
			}
			end(t, p, 1, 0, record.ControlAbort)
			return p, v
		}, inTransaction(1, 0, 1), log.ErrInvalidTxnState},
		"marker of a newer epoch": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			v := verify(t, p, 0, 0)
			end(t, p, 1, 1, record.ControlAbort)
			return p, v
		}, nil, log.ErrInvalidProducerEpoch},
		"a newer epoch is verified": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			v := verify(t, p, 0, 0)
			verify(t, p, 1, 0)
			return p, v
		}, nil, log.ErrInvalidTxnState},
		"refused marker": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			end(t, p, 1, 1, record.ControlAbort)
			v := verify(t, p, 1, 0)
			if _, err := p.EndTransaction(marker(1, 0, record.ControlAbort), false, nowMs); !errors.Is(err, log.ErrInvalidProducerEpoch) {
				t.Errorf("old marker: %v", err)
			}
			return p, v
		}, inTransaction(1, 1, 0), nil},
		"refused for good": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			v := verify(t, p, 0, 0)
			p.EndVerification(1, v)
			return p, v
		}, nil, log.ErrInvalidTxnState},
		"a lower sequence comes first": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			v := verify(t, p, 0, 0)
			if other := verify(t, p, 0, 3); other != v {
				t.Error("two verifications at once")
			}
			return p, v
		}, inTransaction(1, 0, 3), log.ErrOutOfOrderSequence},
		"open with an older epoch": {func(t *testing.T, p *Partition) (*Partition, *Verification) {
			write(t, p, 1, 0, 0, "first")
			return p, verify(t, p, 1, 0)
		}, inTransaction(1, 1, 0), log.ErrInvalidTxnState},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, v := test.arrange(t, open(t, disk.NewMem(), nil))
			if test.batch == nil {
				test.batch = inTransaction(1, 0, 0)
			}
			before := p.Offsets()
			_, err := p.AppendInTransaction(batch(t, test.batch, "late"), nowMs, Client, v)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if after := p.Offsets(); err != nil && after != before {
				t.Errorf("refused, and the numbers went from %+v to %+v", before, after)
			}
		})
	}
}

func TestVerificationErrors(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	end(t, p, 1, 3, record.ControlAbort)
	if _, err := p.BeginVerification(1, 2, 0, false); !errors.Is(err, log.ErrInvalidProducerEpoch) {
		t.Errorf("old epoch: %v", err)
	}
	v, err := p.BeginVerification(7, 0, 4, true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.AppendInTransaction(batch(t, inTransaction(7, 0, 4), "v"), nowMs, Client, v)
	wantError(t, err, log.ErrOutOfOrderSequence)
	if v, err = p.BeginVerification(8, 0, 4, false); err != nil {
		t.Fatal(err)
	}
	if _, err = p.AppendInTransaction(batch(t, inTransaction(8, 0, 4), "v"), nowMs, Client, v); err != nil {
		t.Errorf("a producer whose state is gone may begin anywhere: %v", err)
	}
}

func TestForgottenVerificationsLapse(t *testing.T) {
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Log.ProducerExpirationMs = 100 })
	v, err := p.BeginVerification(1, 0, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, ms := range []int64{0, 99} {
		if _, err := p.Maintain(nowMs + ms); err != nil {
			t.Fatal(err)
		}
	}
	if again, _ := p.BeginVerification(1, 0, 0, false); again != v {
		t.Error("lapsed too early")
	}
	if _, err := p.Maintain(nowMs + 100); err != nil {
		t.Fatal(err)
	}
	if again, _ := p.BeginVerification(1, 0, 0, false); again == v {
		t.Error("did not lapse")
	}
}

// TestPlainBatchOfAProducerWithAnOpenTransaction is refused, and nothing is written.
func TestPlainBatchOfAProducerWithAnOpenTransaction(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	write(t, p, 1, 0, 0, "in it")
	_, err := p.Append(batch(t, from(1, 0, 1), "outside"), nowMs, Client)
	wantError(t, err, log.ErrInvalidTxnState)
	wantStable(t, p, 0, 1)
	end(t, p, 1, 0, record.ControlCommit)
	produce(t, p, batch(t, from(1, 0, 1), "after"))
	wantStable(t, p, 3, 3)
}

func TestMarkersAreFencedByEpochs(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	write(t, p, 1, 2, 0, "v")
	try := func(epoch int16, coordinatorEpoch int32, newEpochOnly bool, want error) {
		t.Helper()
		m := marker(1, epoch, record.ControlCommit)
		m.CoordinatorEpoch = coordinatorEpoch
		if _, err := p.EndTransaction(m, newEpochOnly, nowMs); !errors.Is(err, want) {
			t.Errorf("marker of epoch %d, coordinator epoch %d: %v, want %v", epoch, coordinatorEpoch, err, want)
		}
	}
	try(1, 9, false, log.ErrInvalidProducerEpoch)
	try(2, 9, true, log.ErrInvalidProducerEpoch)
	wantStable(t, p, 0, 1)
	try(3, 9, true, nil)
	try(3, 9, true, nil) // repeated: nothing is open any more
	try(3, 8, true, log.ErrCoordinatorFenced)
}

// TestEndTransactionWithoutADisk: whoever ends a transaction is told why it cannot, at once, and may try again.
func TestEndTransactionWithoutADisk(t *testing.T) {
	t.Run("full", func(t *testing.T) {
		faults := disk.NewFaults(disk.NewMem())
		p := open(t, faults, nil)
		write(t, p, 1, 0, 0, "v")
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt}, Pattern: "*.log", Err: syscall.ENOSPC})
		_, err := p.EndTransaction(marker(1, 0, record.ControlCommit), false, nowMs)
		wantError(t, err, log.ErrFull)
		wantStable(t, p, 0, 1)
		faults.SetRules()
		end(t, p, 1, 0, record.ControlCommit)
		wantStable(t, p, 2, 2)
	})
	t.Run("failed sync", func(t *testing.T) {
		faults := disk.NewFaults(disk.NewMem())
		p := open(t, faults, nil)
		write(t, p, 1, 0, 0, "v")
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData}, Pattern: "*.log", Err: syscall.EIO})
		appended, err := p.EndTransaction(marker(1, 0, record.ControlCommit), false, nowMs)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, p.AwaitCommitted(t.Context(), appended.LastOffset+1), ErrFailed)
		wantStable(t, p, 0, 1)
		_, err = p.BeginVerification(2, 0, 0, false)
		wantError(t, err, ErrFailed)
	})
	t.Run("closed", func(t *testing.T) {
		p := open(t, disk.NewMem(), nil)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := p.EndTransaction(marker(1, 0, record.ControlCommit), false, nowMs)
		wantError(t, err, ErrClosed)
		_, err = p.Aborted(0, 1)
		wantError(t, err, ErrClosed)
	})
	t.Run("offline", func(t *testing.T) {
		p := open(t, disk.NewMem(), func(o *Options) { o.Log.Dir = "" })
		_, err := p.EndTransaction(marker(1, 0, record.ControlCommit), false, nowMs)
		wantError(t, err, ErrOffline)
		_, err = p.BeginVerification(1, 0, 0, false)
		wantError(t, err, ErrOffline)
		_, err = p.Aborted(0, 1)
		wantError(t, err, ErrOffline)
	})
}

// TestRecordsOfAnOpenTransactionAreDeleted: the last stable offset is never below the log start.
func TestRecordsOfAnOpenTransactionAreDeleted(t *testing.T) {
	files := disk.NewMem()
	p := open(t, files, nil)
	write(t, p, 1, 0, 0, "a", "b", "c")
	produce(t, p, batch(t, nil, "plain"))
	if _, err := p.DeleteRecords(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	wantStable(t, p, 2, 4)
	if _, err := p.Aborted(1, 2); !errors.Is(err, log.ErrOutOfRange) {
		t.Errorf("aborted transactions before the log start: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = open(t, files, nil)
	wantStable(t, p, 2, 4)
	end(t, p, 1, 0, record.ControlAbort)
	wantStable(t, p, 5, 5)
}

func TestLagCountsRecordsOfTransactionsAndNoMarkers(t *testing.T) {
	p := open(t, disk.NewMem(), nil)
	produce(t, p, batch(t, nil, "plain"))
	write(t, p, 1, 0, 0, "a", "b")
	end(t, p, 1, 0, record.ControlAbort)
	write(t, p, 1, 0, 2, "open")
	for committed, want := range map[int64]Lag{0: {Offsets: 5, Records: 4}, 1: {Offsets: 4, Records: 3}, 3: {Offsets: 2, Records: 1}, 5: {}} {
		lag := p.Lag(committed, &log.Effort{Left: 1000})
		if lag.FirstTimestampMs = 0; lag != want {
			t.Errorf("lag of offset %d is %+v, want %+v", committed, lag, want)
		}
	}
}
