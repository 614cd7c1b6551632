package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
)

func TestAppendIsInvisibleUntilItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := open(t, g, nil)
		g.shut()
		appended, err := p.Append(batch(t, nil, "a", "b"), nowMs, Client)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantOffsets(t, p, 0, 0, 0, 2)
		if got := values(t, p, 0); got != nil {
			t.Errorf("read %q before the sync", got)
		}
		if done, err := p.Committed(appended.LastOffset + 1); done || err != nil {
			t.Errorf("committed before the sync: %v, %v", done, err)
		}
		g.open()
		if err := p.AwaitCommitted(t.Context(), appended.LastOffset+1); err != nil {
			t.Fatal(err)
		}
		wantOffsets(t, p, 0, 2, 2, 2)
		if got := values(t, p, 0); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("read %q", got)
		}
	})
}

func TestOneSyncCommitsAllThatCameInDuringTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := open(t, g, nil)
		g.shut()
		var waiters sync.WaitGroup
		for i := range 100 {
			appended, err := p.Append(batch(t, nil, fmt.Sprint(i)), nowMs, Client)
			if err != nil {
				t.Fatal(err)
			}
			waiters.Go(func() {
				if err := p.AwaitCommitted(t.Context(), appended.LastOffset+1); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		g.open()
		waiters.Wait()
		synctest.Wait()
		if syncs := p.Stats().Syncs; syncs != 2 {
			t.Errorf("%d syncs, want one for the first append and one for the 99 others", syncs)
		}
		wantOffsets(t, p, 0, 100, 100, 100)
		if n := len(p.mu.idle); n > maxIdleWaiters || len(p.mu.waiters) != 0 {
			t.Errorf("%d waiters are kept, %d wait", n, len(p.mu.waiters))
		}
	})
}

func TestSyncCommitsOnlyWhatWasAppendedBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := open(t, g, nil)
		g.shut()
		defer g.open()
		for _, value := range []string{"a", "b"} {
			if _, err := p.Append(batch(t, nil, value), nowMs, Client); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		g.letThrough()
		synctest.Wait()
		wantOffsets(t, p, 0, 1, 1, 2)
		g.letThrough()
		synctest.Wait()
		wantOffsets(t, p, 0, 2, 2, 2)
	})
}

func TestFailedPartitionIsNotTalkedIntoCommitting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := disk.NewFaults(disk.NewMem())
		p := open(t, faults, nil)
		produce(t, p, batch(t, nil, "kept"))
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData}, Pattern: "*.log", Nth: 1, Err: syscall.EIO})
		if _, err := p.Append(batch(t, nil, "doubtful"), nowMs, Client); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		weaker := DefaultConfig()
		weaker.Flush = FlushOS
		p.Configure(weaker)
		wantOffsets(t, p, 0, 1, 1, 2)
	})
}

func TestAppendThatLeavesTheFileInDoubtFailsThePartition(t *testing.T) {
	faults := disk.NewFaults(disk.NewMem())
	p := open(t, faults, nil)
	produce(t, p, batch(t, nil, "kept"))
	w := NewWaiter()
	p.Subscribe(w, ReadUncommitted)
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt, disk.OpTruncate}, Pattern: "*.log", Err: syscall.EIO, ShortBytes: 10})
	_, err := p.Append(batch(t, nil, "half"), nowMs, Client)
	wantError(t, err, log.ErrFailed)
	<-w.Poked()
	wantError(t, p.Err(), ErrFailed)
	if got := values(t, p, 0); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("read %q", got)
	}
}

func TestFailedSyncIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := disk.NewFaults(disk.NewMem())
		recorder := &syncRecorder{}
		p := open(t, faults, func(o *Options) { o.Syncs = NewSyncs(1, recorder.observe) })
		produce(t, p, batch(t, nil, "kept"))

		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData}, Pattern: "*.log", Nth: 1, Err: syscall.EIO})
		w := NewWaiter()
		p.Subscribe(w, ReadUncommitted)
		appended, err := p.Append(batch(t, nil, "doubtful"), nowMs, Client)
		if err != nil {
			t.Fatal(err)
		}
		wantError(t, p.AwaitCommitted(t.Context(), appended.LastOffset+1), ErrFailed)
		<-w.Poked() // a long poll must not sleep through it
		wantError(t, p.Err(), ErrFailed)
		_, err = p.Append(batch(t, nil, "refused"), nowMs, Client)
		wantError(t, err, ErrFailed)
		_, err = p.DeleteRecords(t.Context(), 1)
		wantError(t, err, ErrFailed)

		// The system could sync again, and it would prove nothing.
		p.Flush()
		synctest.Wait()
		wantError(t, p.AwaitCommitted(t.Context(), appended.LastOffset+1), ErrFailed)
		wantOffsets(t, p, 0, 1, 1, 2)
		if got := values(t, p, 0); !slices.Equal(got, []string{"kept"}) {
			t.Errorf("read %q", got)
		}
		if !p.Stats().Failed || len(recorder.errs) != 2 || recorder.errs[1] == nil {
			t.Errorf("stats %+v, observed %v", p.Stats(), recorder.errs)
		}
	})
}

func TestFullDiskRefusesAppendsAndServesReads(t *testing.T) {
	faults := disk.NewFaults(disk.NewMem())
	p := open(t, faults, nil)
	produce(t, p, batch(t, nil, "a"))
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt}, Pattern: "*.log", Err: syscall.ENOSPC, ShortBytes: 10})
	_, err := p.Append(batch(t, nil, "b"), nowMs, Client)
	wantError(t, err, log.ErrFull)
	if p.Err() != nil {
		t.Errorf("partition: %v", p.Err())
	}
	if got := values(t, p, 0); !slices.Equal(got, []string{"a"}) {
		t.Errorf("read %q", got)
	}
	faults.SetRules()
	if appended := produce(t, p, batch(t, nil, "c")); appended.BaseOffset != 1 {
		t.Errorf("base offset %d once there was room again", appended.BaseOffset)
	}
	if got := values(t, p, 0); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("read %q", got)
	}
}

func TestAwaitGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := open(t, g, nil)
		g.shut()
		appended, err := p.Append(batch(t, nil, "a"), nowMs, Client)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantError(t, p.AwaitCommitted(ctx, appended.LastOffset+1), context.DeadlineExceeded)
		if n := len(p.mu.waiters); n != 0 {
			t.Errorf("%d waiters are left", n)
		}
		g.open()
		// It is committed all the same.
		if err := p.AwaitCommitted(t.Context(), appended.LastOffset+1); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWakesWaitersAndWaitsForTheCommitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := open(t, g, nil)
		w := NewWaiter()
		p.Subscribe(w, ReadUncommitted)
		g.shut()
		appended, err := p.Append(batch(t, nil, "a"), nowMs, Client)
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 2)
		go func() { errs <- p.AwaitCommitted(t.Context(), appended.LastOffset+1) }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- p.Close() }()
		wantError(t, <-errs, ErrClosed)
		<-w.Poked()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("closed during a sync: %v", err)
		default:
		}
		g.open()
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		_, err = p.Append(batch(t, nil, "b"), nowMs, Client)
		wantError(t, err, ErrClosed)
		_, _, err = p.Read(0, 100, true, ReadUncommitted)
		wantError(t, err, ErrClosed)
		p.Subscribe(w, ReadUncommitted)
		<-w.Poked()
		if err := p.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}

		// What was appended and never acknowledged is there all the same.
		again := open(t, g, nil)
		wantOffsets(t, again, 0, 1, 1, 1)
		if !again.Recovery().Clean {
			t.Errorf("not closed in order: %+v", again.Recovery())
		}
	})
}

func TestConcurrentSyncsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		syncs := NewSyncs(2, nil)
		var partitions []*Partition
		for i := range 5 {
			partitions = append(partitions, open(t, g, func(o *Options) {
				o.Index, o.Syncs, o.Log.Dir = int32(i), syncs, fmt.Sprintf("/data/t-%d", i)
			}))
		}
		g.shut()
		for _, p := range partitions {
			if _, err := p.Append(batch(t, nil, "a"), nowMs, Client); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		g.open()
		for _, p := range partitions {
			if err := p.AwaitCommitted(t.Context(), 1); err != nil {
				t.Error(err)
			}
		}
		if most := g.mostWaiting(); most != 2 {
			t.Errorf("%d partitions synced at the same time", most)
		}
	})
}

func TestFlushOSCommitsAtOnceAndNeverSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := open(t, g, withFlush(FlushOS))
		produce(t, p, batch(t, nil, "a"))
		p.FlushDue(nowMs + 1<<40)
		synctest.Wait()
		wantOffsets(t, p, 0, 1, 0, 1)
		if stats := p.Stats(); stats.Syncs != 0 || stats.Flush != FlushOS {
			t.Errorf("stats %+v", stats)
		}
		// Back to commit: what was visible stays so, and is made durable.
		p.Configure(DefaultConfig())
		synctest.Wait()
		wantOffsets(t, p, 0, 1, 1, 1)
	})
}

func TestFlushIntervalSyncsWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		p := open(t, g, func(o *Options) {
			o.Config.Flush, o.Config.FlushMs, o.Config.FlushMessages = FlushInterval, 200, 10
		})
		due := func(atMs int64) int64 {
			p.FlushDue(nowMs + atMs)
			synctest.Wait()
			return p.Stats().Syncs
		}
		produce(t, p, batch(t, nil, "a"))
		for _, step := range []struct {
			atMs int64
			want int64
		}{{100, 0}, {199, 0}, {200, 1}, {500, 1}} {
			if got := due(step.atMs); got != step.want {
				t.Errorf("%d syncs after %d ms, want %d", got, step.atMs, step.want)
			}
		}
		wantOffsets(t, p, 0, 1, 1, 1)
		produce(t, p, batch(t, nil, "b"))
		if got := due(-100); got != 2 {
			t.Errorf("%d syncs after the clock has jumped back", got)
		}
		for range 10 {
			produce(t, p, batch(t, nil, "c"))
		}
		synctest.Wait()
		if syncs := p.Stats().Syncs; syncs != 3 {
			t.Errorf("%d syncs after flush.messages", syncs)
		}
	})
}

func TestFailedSyncOfIntervalFlushStopsAcknowledging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := disk.NewFaults(disk.NewMem())
		p := open(t, faults, withFlush(FlushInterval))
		produce(t, p, batch(t, nil, "a"))
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData}, Pattern: "*.log", Err: syscall.EIO})
		p.FlushDue(nowMs + 1<<40)
		synctest.Wait()
		_, err := p.Append(batch(t, nil, "b"), nowMs, Client)
		wantError(t, err, ErrFailed)
		if got := values(t, p, 0); !slices.Equal(got, []string{"a"}) {
			t.Errorf("read %q", got)
		}
	})
}

func TestDamagedLogIsAnOfflinePartition(t *testing.T) {
	mem := disk.NewMem()
	if err := open(t, mem, nil).Close(); err != nil {
		t.Fatal(err)
	}
	p := open(t, mem, func(o *Options) { o.Log.TopicID = [16]byte{2} })
	_, appendErr := p.Append(batch(t, nil, "a"), nowMs, Client)
	_, _, readErr := p.Read(0, 100, true, ReadUncommitted)
	_, findErr := p.Find(latest, ReadUncommitted)
	_, _, epochErr := p.EndOffsetForEpoch(0)
	_, deleteErr := p.DeleteRecords(t.Context(), -1)
	_, committedErr := p.Committed(1)
	for _, err := range []error{p.Err(), appendErr, readErr, findErr, epochErr, deleteErr, committedErr, p.AwaitCommitted(t.Context(), 1)} {
		wantError(t, err, ErrOffline)
	}
	w := NewWaiter()
	p.Subscribe(w, ReadUncommitted)
	<-w.Poked()
	p.Unsubscribe(w)
	p.Flush()
	p.FlushDue(nowMs)
	p.Configure(DefaultConfig())
	if deleted, err := p.Maintain(nowMs); deleted != 0 || err != nil {
		t.Errorf("maintained: %d, %v", deleted, err)
	}
	if err := p.Close(); err != nil || !p.Stats().Offline {
		t.Errorf("close %v, %+v", err, p.Stats())
	}
}

func TestManyAppendersGetTheOffsetsThatReadersSee(t *testing.T) {
	p := open(t, disk.NewMem(), func(o *Options) { o.Config.Log.SegmentBytes = 2000 })
	const appenders, each = 8, 50
	var mu sync.Mutex
	acknowledged := map[int64]string{}
	var all sync.WaitGroup
	for a := range appenders {
		all.Go(func() {
			for i := range each {
				value := fmt.Sprintf("%d/%d", a, i)
				appended, err := p.Append(batch(t, nil, value), nowMs, Client)
				if err = errors.Join(err, p.AwaitCommitted(t.Context(), appended.LastOffset+1)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[appended.BaseOffset] = value
				mu.Unlock()
				if o := p.Offsets(); o.HighWatermark <= appended.LastOffset {
					t.Errorf("acknowledged %d with %+v", appended.LastOffset, o)
				}
			}
		})
	}
	all.Wait()
	got := values(t, p, 0)
	if len(got) != appenders*each || len(acknowledged) != appenders*each {
		t.Fatalf("%d read, %d acknowledged", len(got), len(acknowledged))
	}
	for offset, value := range got {
		if acknowledged[int64(offset)] != value {
			t.Errorf("offset %d: read %q, acknowledged %q", offset, value, acknowledged[int64(offset)])
		}
	}
	if syncs := p.Stats().Syncs; syncs >= appenders*each {
		t.Logf("%d syncs for %d appends", syncs, appenders*each)
	}
}
