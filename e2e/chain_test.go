package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/e2e/history"
)

// A chain: each stage consumes a topic in a group and produces to the next one, output and offsets in one transaction.
const (
	chainStages       = 3
	chainPartitions   = 4
	chainMembers      = 2 // of a stage
	chainKeys         = 24
	killsOfAChain     = 4 // of a smoke test, and of a long run
	killsOfALongChain = 40
	chainPerKillMax   = 60
)

// TestKillsOfAChainLeaveEachInputOnce: every input is in exactly one committed output at the end of the chain, in the order
// of its key, whatever happens to the broker while members come and go.
func TestKillsOfAChainLeaveEachInputOnce(t *testing.T) {
	t.Run("transact session", func(t *testing.T) { runChain(t, (*chain).sessions, true) })
	t.Run("consumer", func(t *testing.T) { runChain(t, (*chain).groups, false) })
}

// chain is its stages at work.
type chain struct {
	*transactions
}

// member processes a stage until the end of work.
type member func(c *chain, stage int, name string, version int)

// runChain lets members process the stages. recorded says whether they note their transactions in the history.
func runChain(t *testing.T, work member, recorded bool) {
	s := startServer(t, loadSettings...)
	outputs, groups := map[string]int32{}, map[string]string{}
	for stage := range chainStages {
		outputs[chainTopic(stage+1)] = chainPartitions
		groups[chainGroup(stage)] = chainTopic(stage)
	}
	c := &chain{transactions: beginTransactions(t, s, outputs)}
	s.createTopic(chainTopic(0), chainPartitions)
	var feeding atomic.Bool
	feeding.Store(true)
	fed := make(chan map[string]int64, 1)
	c.working.Go(func() { fed <- c.feed(&feeding) })
	for stage := range chainStages {
		for i := range chainMembers {
			c.working.Go(func() { work(c, stage, fmt.Sprint(chainGroup(stage), "-", i), 1+i%2) })
		}
	}
	var arrived atomic.Int64
	c.reading.Go(func() {
		c.follow("reader", func(read history.TxnRead, _ *kgo.Record) {
			if read.Topic == chainTopic(chainStages) {
				arrived.Add(1)
			}
			if !recorded {
				c.committed.Add(1)
			}
		})
	})
	c.reading.Go(func() { c.watchStable(groups) })
	kills := killsOfAChain
	if long() {
		kills = killsOfALongChain
	}
	c.disturb(kills, chainPerKillMax, true)
	feeding.Store(false)
	sent := <-fed
	var want int64
	for _, n := range sent {
		want += n
	}
	for arrived.Load() < want { // for as long as some come
		last := arrived.Load()
		eventually(t, fmt.Sprintf("all of %d inputs come through", want), func() bool { return arrived.Load() > last })
	}
	c.endWork()
	c.working.Wait()
	c.awaitStable()
	c.endRead()
	c.reading.Wait()
	if recorded {
		c.judge(history.Promises{}, groups)
	}
	for stage := range chainStages {
		c.expectEachOnce(chainTopic(stage+1), s.readCommitted(chainTopic(stage+1)), sent)
	}
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.verifyLogs()
}

func chainGroup(stage int) string { return fmt.Sprint("stage-", stage) }

func chainTopic(stage int) string { return fmt.Sprint("chain-", stage) }

// feed produces the inputs, each key's in order, until told not to. It returns how many of each key there are.
func (c *chain) feed(feeding *atomic.Bool) map[string]int64 {
	producer := patientClient(c.s, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1),
		kgo.StopProducerOnDataLossDetected(), kgo.MaxBufferedRecords(100))
	sent := map[string]int64{}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for feeding.Load() && c.workUntil.Err() == nil {
		key := fmt.Sprint("key-", rand.IntN(chainKeys))
		r := newRecord(chainTopic(0), chainPartition(key, 0), key, sent[key])
		sent[key]++
		producer.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			if err != nil && !errors.Is(err, kgo.ErrClientClosed) {
				c.t.Errorf("feed: %v", err)
			}
		})
		<-tick.C
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := producer.Flush(ctx); err != nil {
		c.t.Errorf("feed: %v", err)
	}
	return sent
}

// chainPartition spreads keys in another way for each stage, so that outputs come from many inputs.
func chainPartition(key string, stage int) int32 {
	n, _ := strconv.Atoi(key[len("key-"):])
	return int32((n + n/chainPartitions*stage) % chainPartitions)
}

// roundsOfASessionMax bounds how long a member stays before another takes its place.
const roundsOfASessionMax = 40

// sessions process a stage, one after the other, each a GroupTransactSession of franz-go.
func (c *chain) sessions(stage int, name string, version int) {
	lost := ""
	for c.workUntil.Err() == nil {
		s := c.openSession(stage, name, version)
		if s == nil {
			break
		}
		c.settle(&lost)
		for range 1 + rand.IntN(roundsOfASessionMax) {
			var usable bool
			if lost, usable = s.round(); !usable || c.workUntil.Err() != nil {
				break
			}
		}
		s.session.CloseAllowingRebalance()
	}
	if lost != "" {
		if producer := c.producer(c.t.Context(), name, version); producer != nil {
			producer.Close()
			c.settle(&lost)
		}
	}
}

// forward makes the output of an input: the same record in the next topic, with the name of the transaction.
func forward(stage int, transaction string, r *kgo.Record) *kgo.Record {
	key := identityOf(r).Producer
	out := &kgo.Record{Topic: chainTopic(stage + 1), Partition: chainPartition(key, stage+1), Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
	for _, h := range r.Headers {
		if h.Key != transactionHeader {
			out.Headers = append(out.Headers, h)
		}
	}
	out.Headers = append(out.Headers, kgo.RecordHeader{Key: transactionHeader, Value: []byte(transaction)})
	return out
}

// consumed notes the offsets that a transaction has of its group.
func (c *chain) consumed(transaction, group string, fetches kgo.Fetches) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			last := p.Records[n-1]
			c.history.Add(history.TxnOffset{Place: placeOf(last), Transaction: transaction, Group: group, Offset: last.Offset + 1})
		}
	})
}

// session is a member by franz-go's own GroupTransactSession.
type session struct {
	chain   *chain
	stage   int
	id      string
	session *kgo.GroupTransactSession
}

// batchMax bounds what a round takes, so that there are many.
const batchMax = 50

// openSession ends what the last session with this id has left open, and begins a new one; nil once the work has ended.
func (c *chain) openSession(stage int, id string, version int) *session {
	first := c.producer(c.workUntil, id, version)
	if first == nil {
		return nil
	}
	first.Close()
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(c.s.addr), kgo.AlwaysRetryEOF(), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20*time.Millisecond), kgo.RequestRetries(1<<20), kgo.RetryTimeout(patience),
		kgo.TransactionalID(id), protocol(version), kgo.TransactionTimeout(transactionTimeout), kgo.UnknownTopicRetries(-1),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ConsumerGroup(chainGroup(stage)), kgo.ConsumeTopics(chainTopic(stage)), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(3*time.Second), kgo.RebalanceTimeout(5*time.Second),
		kgo.HeartbeatInterval(200*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		c.t.Errorf("%s: %v", id, err)
		return nil
	}
	return &session{chain: c, stage: stage, id: id, session: s}
}

var transactionCount atomic.Int64 // over all sessions, since names are used once

// round handles what is there, in one transaction with its offsets. Where the session is not usable any more, lost is the
// transaction of which nobody knows the outcome, if there is one.
func (s *session) round() (lost string, usable bool) {
	c := s.chain
	fetches := s.session.PollRecords(c.workUntil, batchMax)
	if fetches.NumRecords() == 0 || c.workUntil.Err() != nil {
		return "", true
	}
	transaction := fmt.Sprint(s.id, ".", transactionCount.Add(1))
	if s.session.Begin() != nil {
		return "", false
	}
	var outputs []*kgo.Record
	fetches.EachRecord(func(r *kgo.Record) { outputs = append(outputs, forward(s.stage, transaction, r)) })
	c.consumed(transaction, chainGroup(s.stage), fetches)
	for _, r := range outputs {
		c.history.Add(history.TxnSent{Place: placeOf(r), Transaction: transaction, Record: identityOf(r)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	failed := false
	for _, r := range s.session.ProduceSync(ctx, outputs...) {
		if r.Err != nil {
			failed = true
			continue
		}
		c.history.Add(history.TxnAcked{Place: placeOf(r.Record), Transaction: transaction, Record: identityOf(r.Record), Offset: r.Record.Offset})
	}
	if err := s.session.Client().AbortBufferedRecords(ctx); err != nil { // see (*transactions).end
		failed = true
	}
	if !failed {
		c.history.Add(history.TxnCommitAsked{Transaction: transaction})
	}
	committed, err := s.session.End(ctx, kgo.TransactionEndTry(!failed))
	switch {
	case err != nil:
		return transaction, false
	case committed:
		c.history.Add(history.TxnEnded{Transaction: transaction, Outcome: history.Committed})
		c.committed.Add(1)
	default:
		c.history.Add(history.TxnEnded{Transaction: transaction, Outcome: history.Aborted})
	}
	return "", true
}

// memberLifeMax bounds how long a member of the package consumer stays.
const memberLifeMax = 4 * time.Second

// groups process a stage, one after the other, each a Group of the package consumer.
func (c *chain) groups(stage int, name string, version int) {
	for life := 0; c.workUntil.Err() == nil; life++ {
		ctx, cancel := context.WithTimeout(c.workUntil, rand.N(memberLifeMax)) // when it leaves is the point of it
		group, err := consumer.New(consumer.Options{
			Client: []kgo.Opt{kgo.SeedBrokers(c.s.addr), protocol(version), kgo.AlwaysRetryEOF(), kgo.MetadataMinAge(20 * time.Millisecond),
				kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })},
			Consumer: []kgo.Opt{kgo.SessionTimeout(3 * time.Second), kgo.RebalanceTimeout(5 * time.Second),
				kgo.HeartbeatInterval(200 * time.Millisecond), kgo.FetchMaxWait(100 * time.Millisecond)},
			Producer: []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())},
			Group:    chainGroup(stage), Topics: []string{chainTopic(stage)}, TransactionalID: name, BatchRecords: batchMax, StopTimeout: 4 * time.Second,
			Retry: func(consumer.Failure) (time.Duration, bool) { return 20 * time.Millisecond, true },
			Handler: consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
				outputs := make([]*kgo.Record, len(batch.Records))
				for i, r := range batch.Records {
					outputs[i] = forward(stage, name, r)
				}
				return batch.Partition.Produce(ctx, outputs...)
			}),
		})
		if err != nil {
			c.t.Errorf("%s: %v", name, err)
			cancel()
			return
		}
		if err := group.Run(ctx); err != nil && ctx.Err() == nil {
			c.t.Logf("%s ends: %v", name, err)
		}
		group.Close()
		cancel()
	}
}

// expectEachOnce: of each key there are all the numbers, in order.
func (c *chain) expectEachOnce(topic string, records []*kgo.Record, sent map[string]int64) {
	c.t.Helper()
	numbers := map[string][]int64{}
	for _, r := range records {
		identity := identityOf(r)
		numbers[identity.Producer] = append(numbers[identity.Producer], identity.Number)
	}
	for key, count := range sent {
		want := make([]int64, count)
		for i := range want {
			want[i] = int64(i)
		}
		if !slices.Equal(numbers[key], want) {
			c.t.Errorf("%s has %v of %s, want %d numbers from 0", topic, numbers[key], key, count)
		}
	}
	if len(numbers) != len(sent) {
		c.t.Errorf("%s has %d keys, want %d", topic, len(numbers), len(sent))
	}
}
