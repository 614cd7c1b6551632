package broker

import (
	"context"
	"math"
	"path"
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

// TestDamagedTransactionsPartitionTakesItsTransactionsAndNoOthers flips a bit in what one shard has stored. What is open
// there an operator can end.
func TestDamagedTransactionsPartitionTakesItsTransactionsAndNoOthers(t *testing.T) {
	files := disk.NewMem()
	options := Options{DataDir: "/data", Logger: testLogger(), fileSystem: files}
	b := startBroker(t, options, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	x, other := newTransactor(t, c, "a", true), newTransactor(t, c, "b", true)
	for _, producer := range []*transactor{x, other} {
		producer.init()
		producer.produce("t", 0, "v")
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	flipBit(t, files, path.Join("/data", partitionDirName("__transaction_state", shardIndex(x.id, 4))))
	b = startBroker(t, options, nil)
	c = dial(t, b)
	x.c, other.c = c, c
	for name, code := range map[string]int16{
		"InitProducerId":     c.ask(x.initRequest()).(*kmsg.InitProducerIDResponse).ErrorCode,
		"AddPartitionsToTxn": x.add("t", 0),
		"EndTxn":             x.end(true),
	} {
		if code != kerr.CoordinatorNotAvailable.Code {
			t.Errorf("%s at the damaged shard: %d", name, code)
		}
	}
	other.commit()
	r := kmsg.NewPtrWriteTxnMarkersRequest()
	r.SetVersion(1)
	marker := kmsg.NewWriteTxnMarkersRequestMarker()
	marker.ProducerID, marker.ProducerEpoch, marker.CoordinatorEpoch = x.producerID, x.epoch, b.controller.image().LeaderEpoch()
	marker.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "t", Partitions: []int32{0}}}
	r.Markers = append(r.Markers, marker)
	wantNone(t, "WriteTxnMarkers", c.ask(r).(*kmsg.WriteTxnMarkersResponse).Markers[0].Topics[0].Partitions[0].ErrorCode)
	awaitQuiet(t, b)
}

// TestFailedShardTakesItsTransactionsAndNoOthers: nothing is said, and no marker written, that may not last.
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
			await(t, "the rest of the markers, though nobody asks", func() bool { return b.partitions.lookup("t", 1).Offsets().LastStable == 2 })
			c := dial()
			await(t, "the end of the transaction", func() bool { return phaseOf(c, "half") == "CompleteCommit" })
			open.c, half.c = c, c
			open.produce("open", 0, "w")
			open.commit()
			half.produce("t", 1, "v")
			half.commit()
			awaitQuiet(t, b)
		})
	})
}

// TestLastEpochTimesOutAfterARestart: the abort needs a new producer id, and nobody asks for anything.
func TestLastEpochTimesOutAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		b, dial := brokerOn(t, files, nil)
		createTopic(t, b, "t", 1)
		x := newTransactor(t, dial(), "app", true)
		for x.init(); x.epoch < math.MaxInt16-1; {
			wantNone(t, "EndTxn", x.end(false))
		}
		x.produce("t", 0, "v")
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b, _ = brokerOn(t, files, nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if o := b.partitions.lookup("t", 0).Offsets(); o.LastStable != o.LogEnd {
			t.Errorf("after the timeout: %+v", o)
		}
	})
}
