package broker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/e2e/history"
	"github.com/millrace/millrace/internal/reorder"
)

// Late requests: what a network and retries may do to a producer's requests (KAFKA-17754), by a proxy before the broker.

const lateProxyAddress = "10.0.0.2:9092"

var (
	keyOfProduce         = (&kmsg.ProduceRequest{}).Key()
	keyOfInitProducerID  = (&kmsg.InitProducerIDRequest{}).Key()
	keyOfAddPartitions   = (&kmsg.AddPartitionsToTxnRequest{}).Key()
	keyOfAddOffsets      = (&kmsg.AddOffsetsToTxnRequest{}).Key()
	keyOfEndTxn          = (&kmsg.EndTxnRequest{}).Key()
	keyOfTxnOffsetCommit = (&kmsg.TxnOffsetCommitRequest{}).Key()
	ofTransactions       = reorder.Keys(keyOfProduce, keyOfInitProducerID, keyOfAddPartitions, keyOfAddOffsets, keyOfEndTxn, keyOfTxnOffsetCommit)
)

const (
	lateTimeoutMs  = 30_000 // of transactions
	lateQuietSpan  = 2 * lateTimeoutMs * time.Millisecond
	latePartitions = 2
)

// lateWorld is a producer of transactions, whose requests the schedule delays, and the history of what it was told.
type lateWorld struct {
	*groupBroker
	proxy    *reorder.Proxy
	protocol int
	id       string
	producer *kgo.Client
	history  history.Recorder
	lost     string // the transaction whose outcome the producer does not know
	offset   int64
}

func newLateWorld(t *testing.T, protocol int, schedule *reorder.Schedule) *lateWorld {
	t.Helper()
	w := &lateWorld{groupBroker: newGroupBroker(t, nil), protocol: protocol, id: "late"}
	createTopic(t, w.broker, "t", latePartitions)
	listener, err := w.network.Listen(lateProxyAddress)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = reorder.Start(listener, func(ctx context.Context) (net.Conn, error) {
		return w.network.Dial(ctx, "tcp", groupBrokerAddress)
	}, schedule)
	t.Cleanup(w.proxy.Close)
	t.Cleanup(func() { w.producer.Close() })
	w.begin()
	return w
}

// client is one behind the proxy, wherever it wants to go.
func (w *lateWorld) client(options ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	most := kversion.Stable()
	if w.protocol == 1 {
		most = kversion.V3_8_0()
	}
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(lateProxyAddress), kgo.MaxVersions(most), kgo.AlwaysRetryEOF(), kgo.RequestRetries(50),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return w.network.Dial(ctx, network, lateProxyAddress)
		}),
	}, options...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// begin starts the producer, again if need be. What it had left open has ended then.
func (w *lateWorld) begin() {
	w.t.Helper()
	if w.producer != nil {
		w.producer.Close()
	}
	w.producer = w.client(kgo.TransactionalID(w.id), kgo.TransactionTimeout(lateTimeoutMs*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.DefaultProduceTopic("t"))
	if _, _, err := w.producer.ProducerID(w.t.Context()); err != nil {
		w.t.Fatalf("begin: %v", err)
	}
	if w.lost != "" {
		w.history.Add(history.TxnEnded{Transaction: w.lost, Outcome: history.Unknown})
		w.lost = ""
	}
}

// transact runs a transaction of two records and an offset.
func (w *lateWorld) transact(name string, number int64, commit bool) {
	w.t.Helper()
	if err := w.producer.BeginTransaction(); err != nil {
		w.begin()
		if err := w.producer.BeginTransaction(); err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
	}
	err := w.produce(name, number)
	if err == nil {
		err = w.commitOffset(name)
	}
	w.end(name, commit && err == nil)
}

func (w *lateWorld) produce(name string, number int64) error {
	var failed error
	for p := range int32(latePartitions) {
		at, r := history.Place{Topic: "t", Partition: p}, history.Record{Producer: "p", Number: number}
		w.history.Add(history.TxnSent{Place: at, Transaction: name, Record: r})
		sent := &kgo.Record{Partition: p, Key: []byte(name), Value: fmt.Append(nil, number)}
		ctx, cancel := context.WithTimeout(w.t.Context(), lateTimeoutMs*time.Millisecond)
		err := w.producer.ProduceSync(ctx, sent).FirstErr()
		cancel()
		if err != nil {
			failed = err
			break
		}
		w.history.Add(history.TxnAcked{Place: at, Transaction: name, Record: r, Offset: sent.Offset})
	}
	return failed
}

// commitOffset adds the next offset of group g in partition 0 of the topic to the transaction.
func (w *lateWorld) commitOffset(name string) error {
	id, epoch, err := w.producer.ProducerID(w.t.Context())
	if err != nil {
		return err
	}
	if w.protocol == 1 {
		add := kmsg.NewPtrAddOffsetsToTxnRequest()
		add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = w.id, id, epoch, "g"
		if err := w.retried(func() (int16, error) {
			answer, err := add.RequestWith(w.t.Context(), w.producer)
			if err != nil {
				return 0, err
			}
			return answer.ErrorCode, nil
		}); err != nil {
			return err
		}
	}
	w.offset++
	w.history.Add(history.TxnOffset{Place: history.Place{Topic: "t"}, Transaction: name, Group: "g", Offset: w.offset})
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch, commit.Group, commit.Generation = w.id, id, epoch, "g", -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = w.offset
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = "t", w.broker.controller.image().Topic("t").ID, []kmsg.TxnOffsetCommitRequestTopicPartition{p}
	commit.Topics = []kmsg.TxnOffsetCommitRequestTopic{topic}
	return w.retried(func() (int16, error) {
		answer, err := commit.RequestWith(w.t.Context(), w.producer)
		if err != nil {
			return 0, err
		}
		return answer.Topics[0].Partitions[0].ErrorCode, nil
	})
}

// retried asks again for as long as that is what the code says.
func (w *lateWorld) retried(ask func() (int16, error)) error {
	const triesMax = 100
	for range triesMax {
		code, err := ask()
		if err != nil {
			return err
		}
		if err = kerr.ErrorForCode(code); err == nil || !kerr.IsRetriable(err) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
	return context.DeadlineExceeded
}

// end decides the transaction. Where the producer is not told how, it begins anew.
func (w *lateWorld) end(name string, commit bool) {
	w.t.Helper()
	outcome := history.Aborted
	if commit {
		outcome = history.Committed
		w.history.Add(history.TxnCommitAsked{Transaction: name})
	}
	if err := w.producer.AbortBufferedRecords(w.t.Context()); err != nil { // all are acknowledged, or to be aborted; see settle
		w.t.Fatal(err)
	}
	if err := w.producer.EndTransaction(w.t.Context(), kgo.TransactionEndTry(commit)); err != nil {
		w.lost = name
		w.begin()
		return
	}
	w.history.Add(history.TxnEnded{Transaction: name, Outcome: outcome})
}

// finish delivers what is late, waits until every timeout has passed, and tells what is wrong by then. The producer must be
// able to go on.
func (w *lateWorld) finish() ([]history.Violation, history.TxnSummary) {
	w.t.Helper()
	w.proxy.DeliverRest()
	<-time.After(lateQuietSpan)
	w.expectStable("after the timeout")
	w.transact("last", 1<<20, true)
	w.expectStable("at the end")
	for p := range int32(latePartitions) {
		w.history.Add(w.stored(p))
	}
	since := w.history.Now()
	offsets, err := w.admin().FetchOffsetsForTopics(kadm.RequireStable(w.t.Context()), "g", "t")
	if err != nil {
		w.t.Fatal(err)
	}
	at, _ := offsets.Lookup("t", 0)
	w.history.Add(history.CommitSeen{Place: history.Place{Topic: "t"}, Group: "g", Since: since, Offset: at.At})
	return history.CheckTransactions(w.history.Events(), history.Promises{VisibleAtOnce: true})
}

// expectStable fails if a transaction hangs.
func (w *lateWorld) expectStable(when string) {
	w.t.Helper()
	for p := range int32(latePartitions) {
		o := w.broker.partitions.lookup("t", p).Offsets()
		if o.LastStable != o.HighWatermark {
			w.t.Errorf("%s: t-%d is stable up to %d of %d", when, p, o.LastStable, o.HighWatermark)
		}
	}
}

// stored reads a partition with read_committed.
func (w *lateWorld) stored(partition int32) history.TxnStored {
	w.t.Helper()
	end := w.broker.partitions.lookup("t", partition).Offsets().HighWatermark
	c, err := kgo.NewClient(kgo.SeedBrokers(groupBrokerAddress), kgo.Dialer(w.network.Dial), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {partition: kgo.NewOffset().At(0)}}))
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	at := history.Place{Topic: "t", Partition: partition}
	stored := history.TxnStored{Place: at}
	for next := int64(0); next < end; {
		fetches := c.PollFetches(w.t.Context())
		if err := fetches.Err(); err != nil {
			w.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if next = r.Offset + 1; !r.Attrs.IsControl() {
				var number int64
				_, _ = fmt.Sscan(string(r.Value), &number)
				stored.Records = append(stored.Records, history.TxnStoredRecord{
					Offset: r.Offset, Transaction: string(r.Key), Record: history.Record{Producer: "p", Number: number}})
			}
		})
	}
	return stored
}

// outcomes are all pairs of two transactions' ends.
var lateOutcomes = [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}}

// TestLateRequestsTouchNoLaterTransaction records a session of two transactions, and then repeats or holds back each of its
// requests until each later one.
func TestLateRequestsTouchNoLaterTransaction(t *testing.T) {
	for _, test := range []struct {
		name     string
		protocol int
		kind     reorder.Kind
	}{
		{"protocol 2, repeated over another connection", 2, reorder.Repeated},
		{"protocol 2, held back", 2, reorder.Held},
		{"protocol 1, held back", 1, reorder.Held},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, commits := range lateOutcomes {
				requests := 0
				synctest.Test(t, func(t *testing.T) {
					w := newLateWorld(t, test.protocol, reorder.NewSchedule(ofTransactions, func(int, reorder.Request) reorder.Fate { return reorder.Fate{} }))
					w.transact("first", 0, commits[0])
					w.transact("second", 1, commits[1])
					requests = w.proxy.Count()
					violations, summary := w.finish()
					if len(violations) > 0 || summary.Unknown > 0 || summary.Committed != 1+count(commits) {
						t.Errorf("undisturbed, transactions committed %v: %v, %v", commits, summary, violations)
					}
				})
				for number := range requests {
					for later := range requests - number {
						synctest.Test(t, func(t *testing.T) { lateRequest(t, test.protocol, test.kind, commits, number, later) })
					}
				}
			}
		})
	}
}

func count(commits [2]bool) (n int) {
	for _, commit := range commits {
		if commit {
			n++
		}
	}
	return n
}

func lateRequest(t *testing.T, protocol int, kind reorder.Kind, commits [2]bool, number, later int) {
	var late reorder.Request
	w := newLateWorld(t, protocol, reorder.NewSchedule(ofTransactions, func(n int, r reorder.Request) reorder.Fate {
		if n != number {
			return reorder.Fate{}
		}
		late = r
		return reorder.Fate{Kind: kind, Later: later}
	}))
	w.transact("first", 0, commits[0])
	w.transact("second", 1, commits[1])
	violations, _ := w.finish()
	for _, v := range violations {
		t.Errorf("%v", v)
	}
	if t.Failed() {
		t.Logf("transactions committed: %v; late: request %d, %v, %d further on", commits, number, late, later)
	}
}

// TestRandomlyLateRequestsTouchNoLaterTransaction lets chance repeat, hold back and cut off the requests of many
// transactions.
func TestRandomlyLateRequestsTouchNoLaterTransaction(t *testing.T) {
	const transactions, seeds = 12, 12
	for _, protocol := range []int{1, 2} {
		t.Run(fmt.Sprint("protocol ", protocol), func(t *testing.T) {
			for seed := range uint64(seeds) {
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(seed, uint64(protocol)))
					chances := reorder.Chances{Repeated: .2, Unanswered: .1, Held: .1, LaterMax: 12}
					if protocol == 1 { // there a copy over a newer connection cannot be told from a request
						chances.Repeated = 0
					}
					w := newLateWorld(t, protocol, reorder.NewSchedule(ofTransactions, chances.Random(random)))
					for i := range transactions {
						w.transact(fmt.Sprint("t", i), int64(i), random.IntN(2) == 0)
					}
					violations, summary := w.finish()
					if len(violations) > 0 || summary.Committed == 0 {
						t.Errorf("seed %d: %v, %v", seed, summary, violations)
					}
				})
			}
		})
	}
}
