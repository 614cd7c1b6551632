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
	s := startServer(t, loadSettings...)
	outputs, groups := map[string]int32{}, map[string]string{}
	for stage := range chainStages {
		outputs[chainTopic(stage+1)] = chainPartitions
		groups[fmt.Sprint("stage-", stage)] = chainTopic(stage)
	}
	c := &chain{transactions: beginTransactions(t, s, outputs), members: transactSession}
	s.createTopic(chainTopic(0), chainPartitions)
	var feeding atomic.Bool
	feeding.Store(true)
	fed := make(chan map[string]int64, 1)
	c.working.Go(func() { fed <- c.feed(&feeding) })
	for stage := range chainStages {
		for member := range chainMembers {
			c.working.Go(func() { c.member(stage, fmt.Sprint("stage-", stage, "-", member), 1+member%2) })
		}
	}
	var arrived atomic.Int64
	c.reading.Go(func() {
		c.follow("reader", func(read history.TxnRead, _ *kgo.Record) {
			if read.Topic == chainTopic(chainStages) {
				arrived.Add(1)
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
	content := c.judge(history.Promises{}, groups)
	for stage := range chainStages {
		c.expectEachOnce(chainTopic(stage+1), content[chainTopic(stage+1)], sent)
	}
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.verifyLogs()
}

// chain is its stages at work.
type chain struct {
	*transactions
	members func(c *chain, stage int, id string, version int) (processor, error)
}

// processor consumes, and produces in transactions.
type processor interface {
	// round handles what is there: it produces what forward makes of each record, in one transaction with the offsets.
	// It returns an error when the processor is of no use any more; lost is a transaction of unknown outcome.
	round(number int) (lost string, err error)
	close()
}

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

// roundsOfAMemberMax bounds how long a member stays before another takes its place.
const roundsOfAMemberMax = 40

// member processes a stage, by one processor after the other.
func (c *chain) member(stage int, name string, version int) {
	lost := ""
	for life := 0; c.workUntil.Err() == nil; life++ {
		p, err := c.members(c, stage, name, version)
		if err != nil {
			c.t.Errorf("%s: %v", name, err)
			return
		}
		if p == nil {
			break
		}
		c.settle(&lost)
		rounds := 1 + rand.IntN(roundsOfAMemberMax)
		for number := 0; number < rounds && c.workUntil.Err() == nil && lost == ""; number++ {
			if lost, err = p.round(life*roundsOfAMemberMax + number); err != nil {
				break
			}
		}
		p.close()
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

// session is a processor by franz-go's own GroupTransactSession.
type session struct {
	chain   *chain
	stage   int
	id      string
	session *kgo.GroupTransactSession
}

// batchMax bounds what a round takes, so that there are many.
const batchMax = 50

func transactSession(c *chain, stage int, id string, version int) (processor, error) {
	// Ends what the last one has left open.
	first := c.producer(c.workUntil, id, version)
	if first == nil {
		return nil, nil
	}
	first.Close()
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(c.s.addr), kgo.AlwaysRetryEOF(), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(20*time.Millisecond), kgo.RequestRetries(1<<20), kgo.RetryTimeout(patience),
		kgo.TransactionalID(id), protocol(version), kgo.TransactionTimeout(transactionTimeout), kgo.UnknownTopicRetries(-1),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ConsumerGroup(fmt.Sprint("stage-", stage)), kgo.ConsumeTopics(chainTopic(stage)), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(), kgo.SessionTimeout(3*time.Second), kgo.RebalanceTimeout(5*time.Second),
		kgo.HeartbeatInterval(200*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	return &session{chain: c, stage: stage, id: id, session: s}, nil
}

func (s *session) close() { s.session.CloseAllowingRebalance() }

var transactionCount atomic.Int64

func (s *session) round(int) (lost string, err error) {
	c := s.chain
	fetches := s.session.PollRecords(c.workUntil, batchMax)
	if fetches.NumRecords() == 0 || c.workUntil.Err() != nil {
		return "", nil
	}
	transaction := fmt.Sprint(s.id, ".", transactionCount.Add(1))
	if err := s.session.Begin(); err != nil {
		return "", err
	}
	var outputs []*kgo.Record
	fetches.EachRecord(func(r *kgo.Record) { outputs = append(outputs, forward(s.stage, transaction, r)) })
	c.consumed(transaction, fmt.Sprint("stage-", s.stage), fetches)
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
	if !failed {
		c.history.Add(history.TxnCommitAsked{Transaction: transaction})
	}
	committed, err := s.session.End(ctx, kgo.TransactionEndTry(!failed))
	switch {
	case err != nil:
		return transaction, nil
	case committed:
		c.history.Add(history.TxnEnded{Transaction: transaction, Outcome: history.Committed})
		c.committed.Add(1)
	default:
		c.history.Add(history.TxnEnded{Transaction: transaction, Outcome: history.Aborted})
	}
	return "", nil
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
