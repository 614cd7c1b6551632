package broker

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/internal/disk"
)

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

// TestNewProducerIDWhenTheEpochsRunOut: KIP-890 uses up an epoch for each transaction.
func TestNewProducerIDWhenTheEpochsRunOut(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	x := newTransactor(t, dial(t, b), "app", true)
	x.init()
	before := x.producerID
	for x.producerID == before {
		if x.epoch < 0 {
			t.Fatalf("epoch %d", x.epoch)
		}
		wantNone(t, "EndTxn", x.end(false))
	}
	if x.epoch != 0 {
		t.Errorf("the new producer id begins with epoch %d", x.epoch)
	}
	x.produce("t", 0, "v")
	x.commit()
}

// TestVerificationCanBeSwitchedOff, while the broker runs: then the older protocol's produce opens a transaction unasked.
func TestVerificationCanBeSwitchedOff(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	x := newTransactor(t, c, "app", false)
	x.init()
	if code := produced(t, c.ask(x.produceRequest("t", 0, x.batch("t", 0, "v")))).ErrorCode; code != kerr.TransactionAbortable.Code {
		t.Errorf("a partition that was not added: %d", code)
	}
	x.init()
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.SetVersion(1)
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType = kmsg.ConfigResourceTypeBroker
	off := "false"
	resource.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "transaction.partition.verification.enable", Value: &off}}
	r.Resources = append(r.Resources, resource)
	wantNone(t, "IncrementalAlterConfigs", c.ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode)
	if code := produced(t, c.ask(x.produceRequest("t", 0, x.batch("t", 0, "v")))).ErrorCode; code != 0 {
		t.Errorf("without verification: %d", code)
	}
	wantNone(t, "AddPartitionsToTxn", x.add("t", 0))
	x.commit()
	awaitQuiet(t, b)
}

// TestTransactionStateTopicIsMadeOnFirstNeed, as the settings say, and stays as it was made.
func TestTransactionStateTopicIsMadeOnFirstNeed(t *testing.T) {
	mem := disk.NewMem()
	for _, partitions := range []string{"3", "5"} {
		b, dial := brokerOn(t, mem, map[string]string{
			"transaction.state.log.num.partitions": partitions, "transaction.state.log.segment.bytes": "1048576",
		})
		c := dial()
		if partitions == "3" && b.controller.image().Topic("__transaction_state") != nil {
			t.Error("it is there before anybody needs it")
		}
		newTransactor(t, c, "app", true).init()
		topic := b.controller.image().Topic("__transaction_state")
		if topic == nil || topic.Partitions != 3 || !topic.Internal || topic.Configs["cleanup.policy"] != "compact" || topic.Configs["segment.bytes"] != "1048576" {
			t.Errorf("%+v", topic)
		}
		name := "__transaction_state"
		_, results := b.controller.image().DeleteTopics([]metadata.TopicRef{{Name: &name}})
		wantCode(t, errorCode(results[0].Err), kerr.InvalidRequest)
		if err := b.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIdleTransactionalIDsExpire by the settings; one with an open transaction does not.
func TestIdleTransactionalIDsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), map[string]string{
			"transactional.id.expiration.ms": "10000", "transaction.remove.expired.transaction.cleanup.interval.ms": "1000",
		})
		createTopic(t, b, "t", 1)
		c := dial()
		idle, open := newTransactor(t, c, "idle", true), newTransactor(t, c, "open", true)
		idle.init()
		open.init()
		open.produce("t", 0, "v")
		time.Sleep(12 * time.Second)
		r := kmsg.NewPtrDescribeTransactionsRequest()
		r.TransactionalIDs = []string{"idle", "open"}
		states := c.ask(r).(*kmsg.DescribeTransactionsResponse).TransactionStates
		if states[0].ErrorCode != kerr.TransactionalIDNotFound.Code || states[1].State != "Ongoing" {
			t.Errorf("%+v", states)
		}
		if code := idle.end(false); code != kerr.InvalidProducerIDMapping.Code {
			t.Errorf("EndTxn of an id that has expired: %d", code)
		}
		idle.init()
		open.commit()
	})
}

// TestTransactionsInACodecOfTheTopic: a batch that is compressed anew is still one of its transaction.
func TestTransactionsInACodecOfTheTopic(t *testing.T) {
	bothProtocols(t, func(t *testing.T, newer bool) {
		for _, codec := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
			b := startBroker(t, Options{}, nil)
			c := dial(t, b)
			create := kmsg.NewPtrCreateTopicsRequest()
			create.SetVersion(5)
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", 1, 1
			topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "compression.type", Value: &codec}}
			create.Topics = append(create.Topics, topic)
			wantNone(t, "CreateTopics", c.ask(create).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
			x := newTransactor(t, c, "app", newer)
			x.init()
			x.produce("t", 0, "a", "b")
			x.produce("t", 0, "c")
			p := b.partitions.lookup("t", 0)
			if o := p.Offsets(); o.LastStable != 0 || o.HighWatermark != 3 {
				t.Errorf("%s: an open transaction: %+v", codec, o)
			}
			wantNone(t, "EndTxn", x.end(false))
			aborted, err := p.Aborted(0, 4)
			if err != nil || len(aborted) != 1 || aborted[0].FirstOffset != 0 || aborted[0].LastOffset != 3 {
				t.Errorf("%s: aborted transactions: %+v, %v", codec, aborted, err)
			}
		}
	})
}
