package broker

import (
	"context"
	"errors"
	"path"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/disk"
)

// brokenDir is a file system with a directory whose segments, while it is broken, cannot be written to if err is ENOSPC, and
// not be synced otherwise.
type brokenDir struct {
	disk.FS
	dir    string
	err    error
	broken atomic.Bool
}

func newBrokenDir(files disk.FS, dir string, err error) *brokenDir {
	return &brokenDir{FS: files, dir: dir, err: err}
}

func (d *brokenDir) Create(name string) (disk.File, error) { return d.file(name)(d.FS.Create(name)) }
func (d *brokenDir) OpenWrite(name string) (disk.File, error) {
	return d.file(name)(d.FS.OpenWrite(name))
}

func (d *brokenDir) file(name string) func(disk.File, error) (disk.File, error) {
	return func(f disk.File, err error) (disk.File, error) {
		if err != nil || path.Dir(name) != d.dir || path.Ext(name) != ".log" {
			return f, err
		}
		return &brokenFile{f, d}, nil
	}
}

type brokenFile struct {
	disk.File
	in *brokenDir
}

func (f *brokenFile) WriteAt(p []byte, at int64) (int, error) {
	if f.in.broken.Load() && f.in.err == syscall.ENOSPC {
		return 0, f.in.err
	}
	return f.File.WriteAt(p, at)
}

func (f *brokenFile) SyncData() error {
	if f.in.broken.Load() && f.in.err != syscall.ENOSPC {
		return f.in.err
	}
	return f.File.SyncData()
}

// ends are the ends of a topic's partitions.
func ends(b *Broker, topic string) (ends []int64) {
	for _, p := range b.partitions.of(topic) {
		ends = append(ends, p.Offsets().LogEnd)
	}
	return ends
}

// phaseOf is the state of a transactional id as DescribeTransactions has it.
func phaseOf(c *client, id string) string {
	c.t.Helper()
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = []string{id}
	state := c.ask(r).(*kmsg.DescribeTransactionsResponse).TransactionStates[0]
	wantNone(c.t, "DescribeTransactions", state.ErrorCode)
	return state.State
}

// await waits until a condition holds that something in the background brings about.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestAnswerToEndTxnMeansVisible: when a client hears that its transaction is committed, there is a committed marker in
// each partition, and the next transaction can begin at once.
func TestAnswerToEndTxnMeansVisible(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		b := startBroker(t, Options{}, nil)
		createTopic(t, b, "t", 20)
		x := newTransactor(t, dial(t, b), "app", newer)
		x.init()
		for round := range int64(5) {
			for partition := range int32(20) {
				x.produce("t", partition, "a", "b")
			}
			wantNone(t, "EndTxn", x.end(round%2 == 0))
			for _, p := range b.partitions.of("t") {
				if o := p.Offsets(); o.LastStable != 3*(round+1) {
					t.Fatalf("round %d: partition %d: %+v", round, p.Index(), o)
				}
			}
		}
	})
}

// TestManyProducersEndTransactionsAtOnce: each gets its own, on few shards and shared partitions.
func TestManyProducersEndTransactionsAtOnce(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		b := startBroker(t, Options{}, nil)
		createTopic(t, b, "t", 3)
		const producers, rounds = 20, 10
		done := make(chan struct{})
		for i := range producers {
			go func() {
				defer func() { done <- struct{}{} }()
				x := newTransactor(t, dial(t, b), string(rune('a'+i)), newer)
				x.init()
				for round := range rounds {
					for partition := range int32(3) {
						x.produce("t", partition, "v")
					}
					wantNone(t, "EndTxn", x.end(round%2 == 0))
				}
			}()
		}
		for range producers {
			<-done
		}
		awaitQuiet(t, b)
		if got := ends(b, "t"); !slices.Equal(got, []int64{2 * producers * rounds, 2 * producers * rounds, 2 * producers * rounds}) {
			t.Errorf("log ends %v", got)
		}
	})
}

// TestTransactionThatTimesOutIsAborted: what its producer says afterwards changes nothing.
func TestTransactionThatTimesOutIsAborted(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		synctest.Test(t, func(t *testing.T) {
			b, dial := brokerOn(t, disk.NewMem(), nil)
			createTopic(t, b, "t", 2)
			c := dial()
			x := newTransactor(t, c, "app", newer)
			x.init()
			x.produce("t", 0, "v")
			if phase := phaseOf(c, "app"); phase != "Ongoing" {
				t.Errorf("before the timeout: %s", phase)
			}
			time.Sleep(61 * time.Second)
			synctest.Wait()
			if phase := phaseOf(c, "app"); phase != "CompleteAbort" {
				t.Errorf("after the timeout: %s", phase)
			}
			awaitQuiet(t, b)
			want := kerr.ProducerFenced.Code
			if newer {
				want = kerr.InvalidTxnState.Code // the epoch that the abort has given it is the one after its own
			}
			if code := x.end(true); code != want {
				t.Errorf("a commit after that: %d, want %d", code, want)
			}
			late := produced(t, c.ask(x.produceRequest("t", 0, x.batch("t", 0, "late")))).ErrorCode
			if late == 0 {
				t.Error("a produce after that was taken")
			}
			awaitQuiet(t, b)
			x.init()
			x.produce("t", 1, "v")
			x.commit()
			awaitQuiet(t, b)
			if got := ends(b, "t"); !slices.Equal(got, []int64{2, 2}) {
				t.Errorf("log ends %v", got)
			}
		})
	})
}

// TestMarkersOfDeletedTopicsAreSkipped: a commit is not kept up by what is no more.
func TestMarkersOfDeletedTopicsAreSkipped(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		b := startBroker(t, Options{}, nil)
		createTopic(t, b, "gone", 2)
		createTopic(t, b, "stays", 1)
		x := newTransactor(t, dial(t, b), "app", newer)
		x.init()
		x.produce("gone", 0, "v")
		x.produce("gone", 1, "v")
		x.produce("stays", 0, "v")
		dropTopic(t, b, "gone")
		x.commit()
		x.produce("stays", 0, "v")
		x.commit()
		awaitQuiet(t, b)
		if got := ends(b, "stays"); got[0] != 4 {
			t.Errorf("log ends %v", got)
		}
	})
}

// TestFullDiskDelaysADecision: the answer comes after a bounded time, the next transaction waits, and once there is room
// nothing is left undecided.
func TestFullDiskDelaysADecision(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		synctest.Test(t, func(t *testing.T) {
			files := newBrokenDir(disk.NewMem(), "/data/t-1", syscall.ENOSPC)
			b, dial := brokerOn(t, files, nil)
			createTopic(t, b, "t", 2)
			x := newTransactor(t, dial(), "app", newer)
			x.init()
			x.produce("t", 0, "v")
			x.produce("t", 1, "v")
			files.broken.Store(true)
			began := time.Now()
			x.commit()
			if took := time.Since(began); took < time.Second || took > transactionWaitMax {
				t.Errorf("answered after %v", took)
			}
			if phase := phaseOf(x.c, "app"); phase != "PrepareCommit" {
				t.Errorf("phase %s", phase)
			}
			if o := b.partitions.lookup("t", 0).Offsets(); o.LastStable != 2 {
				t.Errorf("the other partition: %+v", o)
			}
			if code := x.add("t", 0); code != kerr.ConcurrentTransactions.Code {
				t.Errorf("the next transaction: %d", code)
			}
			files.broken.Store(false)
			time.Sleep(markerRetryMax)
			synctest.Wait()
			awaitQuiet(t, b)
			if phase := phaseOf(x.c, "app"); phase != "CompleteCommit" {
				t.Errorf("phase %s once there is room", phase)
			}
			x.produce("t", 1, "v")
			x.commit()
		})
	})
}

// TestDecisionThatCannotBeWrittenIsNone: with no room for it the transaction stays open, and can be decided later.
func TestDecisionThatCannotBeWrittenIsNone(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		files := disk.NewFaults(disk.NewMem())
		b, dial := brokerOn(t, files, nil)
		createTopic(t, b, "t", 1)
		x := newTransactor(t, dial(), "app", newer)
		x.init()
		x.produce("t", 0, "v")
		full := []disk.Kind{disk.OpWriteAt, disk.OpAllocate, disk.OpCreate}
		files.SetRules(disk.Rule{Kinds: full, Err: syscall.ENOSPC})
		if code := x.end(true); code != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("EndTxn on a full disk: %d", code)
		}
		r := x.initRequest()
		if code := x.c.ask(r).(*kmsg.InitProducerIDResponse).ErrorCode; code != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("InitProducerId on a full disk: %d", code)
		}
		files.SetRules()
		if phase := phaseOf(x.c, "app"); phase != "Ongoing" {
			t.Errorf("phase %s", phase)
		}
		x.commit()
		awaitQuiet(t, b)
	})
}

// TestCoordinatorThatLoads: who asks meanwhile is told so, after a bounded time.
func TestCoordinatorThatLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), nil)
		createTopic(t, b, "t", 1)
		x := newTransactor(t, dial(), "app", true)
		<-b.transactions.turn
		loading := kerr.CoordinatorLoadInProgress.Code
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.SetVersion(4)
		find.CoordinatorType, find.CoordinatorKeys = coordinatorTypeTransaction, []string{"app"}
		if code := x.c.ask(find).(*kmsg.FindCoordinatorResponse).Coordinators[0].ErrorCode; code != loading {
			t.Errorf("FindCoordinator: %d", code)
		}
		if code := x.c.ask(x.initRequest()).(*kmsg.InitProducerIDResponse).ErrorCode; code != loading {
			t.Errorf("InitProducerId: %d", code)
		}
		if code := x.add("t", 0); code != loading {
			t.Errorf("AddPartitionsToTxn: %d", code)
		}
		if code := x.end(true); code != loading {
			t.Errorf("EndTxn: %d", code)
		}
		b.transactions.turn <- struct{}{}
		x.init()
		x.produce("t", 0, "v")
		x.commit()
	})
}

// TestDamagedTransactionsPartitionTakesItsTransactionsAndNoOthers.
func TestFailedShardTakesItsTransactionsAndNoOthers(t *testing.T) {
	files := newBrokenDir(disk.NewMem(), "/data/"+partitionDirName("__transaction_state", shardIndex("a", 4)), syscall.EIO)
	b, dial := brokerOn(t, files, nil)
	createTopic(t, b, "t", 1)
	c := dial()
	x, other := newTransactor(t, c, "a", true), newTransactor(t, c, "b", true)
	if shardIndex(x.id, 4) == shardIndex(other.id, 4) {
		t.Fatal("both ids are on the same shard")
	}
	x.init()
	other.init()
	x.produce("t", 0, "v")
	files.broken.Store(true)
	for range 2 {
		if code := x.end(true); code != kerr.NotCoordinator.Code {
			t.Errorf("EndTxn to a shard that cannot sync: %d", code)
		}
	}
	if end := b.partitions.lookup("t", 0).Offsets().LogEnd; end != 1 {
		t.Errorf("a marker was written for a decision that is not on disk: log end %d", end)
	}
	wantNone(t, "AddPartitionsToTxn", other.add("t", 0))
	other.commit()
}

// TestStopWithOpenAndHalfDecidedTransactions: it ends within its bounds, and the next start goes on where this one was.
func TestStopWithOpenAndHalfDecidedTransactions(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		synctest.Test(t, func(t *testing.T) {
			mem := disk.NewMem()
			files := newBrokenDir(mem, "/data/t-1", syscall.ENOSPC)
			b, dial := brokerOn(t, files, nil)
			createTopic(t, b, "t", 2)
			createTopic(t, b, "open", 1)
			open, half := newTransactor(t, dial(), "open", newer), newTransactor(t, dial(), "half", newer)
			open.init()
			open.produce("open", 0, "v")
			half.init()
			half.produce("t", 0, "v")
			half.produce("t", 1, "v")
			files.broken.Store(true)
			half.c.send(half.endRequest(true))
			await(t, "a marker in the first partition", func() bool { return ends(b, "t")[0] == 2 })
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			stopped := make(chan error, 1)
			go func() { stopped <- b.Shutdown(ctx) }()
			if answer := half.c.receive().(*kmsg.EndTxnResponse); answer.ErrorCode != 0 {
				t.Errorf("EndTxn whose markers take too long: %d", answer.ErrorCode)
			} else if newer {
				half.producerID, half.epoch, half.sequences = answer.ProducerID, answer.ProducerEpoch, map[string]map[int32]int32{}
			}
			if err := <-stopped; err != nil {
				t.Errorf("shutdown: %v", err)
			}
			if took := time.Since(began); took > 2*transactionWaitMax {
				t.Errorf("shutdown took %v", took)
			}
			b, dial = brokerOn(t, mem, nil)
			c := dial()
			await(t, "the rest of the markers", func() bool { return phaseOf(c, "half") == "CompleteCommit" })
			open.c, half.c = c, c
			open.produce("open", 0, "w")
			open.commit()
			half.produce("t", 1, "v")
			half.commit()
			awaitQuiet(t, b)
		})
	})
}

// TestOperatorsMarker ends a transaction behind its coordinator's back.
func TestOperatorsMarker(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	x := newTransactor(t, c, "app", false)
	x.init()
	x.produce("t", 0, "v")
	write := func(version int16, epoch int16, coordinatorEpoch int32, transactionVersion int8, topic string, partition int32) int16 {
		r := kmsg.NewPtrWriteTxnMarkersRequest()
		r.SetVersion(version)
		marker := kmsg.NewWriteTxnMarkersRequestMarker()
		marker.ProducerID, marker.ProducerEpoch, marker.CoordinatorEpoch, marker.TransactionVersion = x.producerID, epoch, coordinatorEpoch, transactionVersion
		marker.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: []int32{partition}}}
		r.Markers = append(r.Markers, marker)
		answer := c.ask(r).(*kmsg.WriteTxnMarkersResponse)
		if m := answer.Markers[0]; m.ProducerID != x.producerID || m.Topics[0].Topic != topic || m.Topics[0].Partitions[0].Partition != partition {
			t.Fatalf("%+v", answer)
		}
		return answer.Markers[0].Topics[0].Partitions[0].ErrorCode
	}
	if o := b.partitions.lookup("t", 0).Offsets(); o.LastStable != 0 {
		t.Fatalf("an open transaction: %+v", o)
	}
	for name, test := range map[string]struct {
		code int16
		want *kerr.Error
	}{
		"no topic":            {write(1, x.epoch, 9, 0, "absent", 0), kerr.UnknownTopicOrPartition},
		"no partition":        {write(1, x.epoch, 9, 0, "t", 7), kerr.UnknownTopicOrPartition},
		"same epoch, newer":   {write(2, x.epoch, 9, 2, "t", 0), kerr.InvalidProducerEpoch},
		"no offsets topic":    {write(1, x.epoch, 9, 0, "__consumer_offsets", 0), kerr.UnknownTopicOrPartition},
		"in order":            {write(1, x.epoch, 9, 0, "t", 0), nil},
		"older coordinator":   {write(1, x.epoch, 8, 0, "t", 0), kerr.TransactionCoordinatorFenced},
		"older producer":      {write(1, x.epoch-1, 9, 0, "t", 0), kerr.InvalidProducerEpoch},
		"newer epoch, repeat": {write(2, x.epoch+1, 9, 2, "t", 0), nil},
	} {
		if err := kerr.ErrorForCode(test.code); test.want == nil && err != nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	awaitQuiet(t, b)
	x.init()
	if phase := phaseOf(c, "app"); phase != "Empty" {
		t.Errorf("phase %s", phase)
	}
}

func TestTransactionsAreListedAndDescribed(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 3)
	c := dial(t, b)
	open, idle := newTransactor(t, c, "orders-open", false), newTransactor(t, c, "orders-idle", false)
	open.init()
	idle.init()
	wantNone(t, "AddPartitionsToTxn", open.add("t", 2, 0))
	list := func(version int16, change func(*kmsg.ListTransactionsRequest)) (ids []string) {
		r := kmsg.NewPtrListTransactionsRequest()
		r.SetVersion(version)
		change(r)
		answer := c.ask(r).(*kmsg.ListTransactionsResponse)
		wantNone(t, "ListTransactions", answer.ErrorCode)
		for _, s := range answer.TransactionStates {
			ids = append(ids, s.TransactionalID+" "+s.TransactionState)
		}
		return ids
	}
	pattern := func(p string) func(*kmsg.ListTransactionsRequest) {
		return func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = &p }
	}
	both := []string{"orders-idle Empty", "orders-open Ongoing"}
	for name, test := range map[string]struct{ got, want []string }{
		"all":            {list(0, func(*kmsg.ListTransactionsRequest) {}), both},
		"ongoing":        {list(0, func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing", "Nope"} }), both[1:]},
		"no known state": {list(0, func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Nope"} }), nil},
		"producer":       {list(1, func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{idle.producerID} }), both[:1]},
		"long": {list(1, func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 60_000 }), list(1, func(r *kmsg.ListTransactionsRequest) {
			r.DurationFilterMillis = 60_000
			r.StateFilters = []string{"Empty"}
		})},
		"whole pattern":   {list(2, pattern("orders-.*")), both},
		"part of an id":   {list(2, pattern("orders")), nil},
		"one alternative": {list(2, pattern("a|orders-idle")), both[:1]},
		"empty pattern":   {list(2, pattern("")), both},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s: %q, want %q", name, test.got, test.want)
		}
	}
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = []string{"orders-open", "nobody", "orders-idle"}
	states := c.ask(r).(*kmsg.DescribeTransactionsResponse).TransactionStates
	s := states[0]
	if s.State != "Ongoing" || s.ProducerID != open.producerID || s.ProducerEpoch != open.epoch || s.TimeoutMillis != 60_000 || s.StartTimestamp <= 0 ||
		len(s.Topics) != 1 || s.Topics[0].Topic != "t" || !slices.Equal(s.Topics[0].Partitions, []int32{0, 2}) {
		t.Errorf("%+v", s)
	}
	if states[1].ErrorCode != kerr.TransactionalIDNotFound.Code || states[2].State != "Empty" || states[2].StartTimestamp != -1 || len(states[2].Topics) != 0 {
		t.Errorf("%+v", states[1:])
	}
}

// slowSyncs is a file system on which each sync of a segment takes a while.
type slowSyncs struct {
	disk.FS
	takes time.Duration
}

func (d slowSyncs) Create(name string) (disk.File, error) {
	f, err := d.FS.Create(name)
	return slowSync{f, d.takes}, err
}

func (d slowSyncs) OpenWrite(name string) (disk.File, error) {
	f, err := d.FS.OpenWrite(name)
	return slowSync{f, d.takes}, err
}

type slowSync struct {
	disk.File
	takes time.Duration
}

func (f slowSync) SyncData() error {
	<-time.After(f.takes)
	return f.File.SyncData()
}

// TestEndTxnTakesThreeSyncsAtMost, in however many partitions; alone it takes two.
func TestEndTxnTakesThreeSyncsAtMost(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		synctest.Test(t, func(t *testing.T) {
			const sync = 10 * time.Millisecond
			b, dial := brokerOn(t, slowSyncs{disk.NewMem(), sync}, map[string]string{"transaction.state.log.num.partitions": "1"})
			createTopic(t, b, "t", 8)
			x, other := newTransactor(t, dial(), "app", newer), newTransactor(t, dial(), "other", newer)
			x.init()
			other.init()
			for _, crowd := range []bool{false, true} {
				for round := range 5 {
					for partition := range int32(8) {
						x.produce("t", partition, "v")
					}
					most := 2 * sync
					if crowd {
						most = 3 * sync
						other.produce("t", 0, "v")
						other.c.send(other.endRequest(true))
						time.Sleep(time.Duration(round) * sync / 5)
					}
					began := time.Now()
					x.commit()
					if took := time.Since(began); took > most {
						t.Errorf("crowd %t, round %d: %v", crowd, round, took)
					}
					if crowd {
						answer := other.c.receive().(*kmsg.EndTxnResponse)
						wantNone(t, "EndTxn", answer.ErrorCode)
						if newer {
							other.epoch, other.sequences = answer.ProducerEpoch, map[string]map[int32]int32{}
						}
					}
				}
			}
		})
	})
}
