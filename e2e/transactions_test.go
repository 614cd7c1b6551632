package e2e

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/millrace/millrace/e2e/history"
)

// transactions is work in transactions on one broker, and the history of what clients saw.
type transactions struct {
	t         *testing.T
	s         *server
	topics    map[string]int32 // written to in transactions, with their numbers of partitions
	history   history.Recorder
	committed atomic.Int64

	workUntil context.Context
	endWork   context.CancelFunc
	readUntil context.Context
	endRead   context.CancelFunc
	working   sync.WaitGroup
	reading   sync.WaitGroup
}

// transactionHeader names the transaction in each record.
const transactionHeader = "transaction"

// beginTransactions makes the topics. All work ends at the end of the test at the latest.
func beginTransactions(t *testing.T, s *server, topics map[string]int32) *transactions {
	t.Helper()
	x := &transactions{t: t, s: s, topics: topics}
	x.workUntil, x.endWork = context.WithCancel(context.Background())
	x.readUntil, x.endRead = context.WithCancel(context.Background())
	t.Cleanup(func() {
		x.endWork()
		x.endRead()
		x.working.Wait()
		x.reading.Wait()
	})
	for topic, partitions := range topics {
		s.createTopic(topic, partitions)
	}
	return x
}

// protocol makes a client speak the first or the second protocol of transactions (KIP-890).
func protocol(version int) kgo.Opt {
	if version == 1 {
		return kgo.MaxVersions(kversion.V3_8_0())
	}
	return kgo.MaxVersions(kversion.Stable())
}

// transactionTimeout is longer than a broker is away.
const transactionTimeout = 60 * time.Second

// producer returns a client with a transactional id, which has ended what another one with this id has left open; nil if
// until ends before.
func (x *transactions) producer(until context.Context, id string, version int, options ...kgo.Opt) *kgo.Client {
	for until.Err() == nil {
		c := patientClient(x.s, append([]kgo.Opt{
			kgo.TransactionalID(id), protocol(version), kgo.TransactionTimeout(transactionTimeout), kgo.UnknownTopicRetries(-1),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		}, options...)...)
		ctx, cancel := context.WithTimeout(until, patience)
		_, _, err := c.ProducerID(ctx)
		cancel()
		if err == nil {
			return c
		}
		c.Close()
		if code := (*kerr.Error)(nil); errors.As(err, &code) { // anything else is a broker that is away
			x.t.Logf("%s begins anew: %v", id, err)
		}
	}
	return nil
}

// send produces records of a transaction and notes it; it says whether all are acknowledged.
func (x *transactions) send(c *kgo.Client, transaction string, records ...*kgo.Record) error {
	for _, r := range records {
		x.history.Add(history.TxnSent{Place: placeOf(r), Transaction: transaction, Record: identityOf(r)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	results := c.ProduceSync(ctx, records...)
	for _, r := range results {
		if r.Err == nil {
			x.history.Add(history.TxnAcked{Place: placeOf(r.Record), Transaction: transaction, Record: identityOf(r.Record), Offset: r.Record.Offset})
		}
	}
	return results.FirstErr()
}

// end ends a transaction. An error means that nobody knows: the producer must begin anew before the outcome is told.
func (x *transactions) end(c *kgo.Client, transaction string, commit bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// What is to be committed is acknowledged. But the client may not have noted the partitions of a new topic yet, and would then
	// end the transaction by an abort (franz-go 1.22): this waits for it.
	if err := c.AbortBufferedRecords(ctx); err != nil {
		return err
	}
	if !commit {
		if err := c.EndTransaction(ctx, kgo.TryAbort); err != nil {
			return err
		}
		x.history.Add(history.TxnEnded{Transaction: transaction, Outcome: history.Aborted})
		return nil
	}
	x.history.Add(history.TxnCommitAsked{Transaction: transaction})
	if err := c.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	x.history.Add(history.TxnEnded{Transaction: transaction, Outcome: history.Committed})
	x.committed.Add(1)
	return nil
}

// settle notes that a transaction whose outcome was lost has ended.
func (x *transactions) settle(lost *string) {
	if *lost != "" {
		x.history.Add(history.TxnEnded{Transaction: *lost, Outcome: history.Unknown})
		*lost = ""
	}
}

// follow reads all topics with read_committed until the end of reading and then to the end of all partitions.
func (x *transactions) follow(name string, took func(history.TxnRead, *kgo.Record)) {
	from := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range x.topics {
		from[topic] = map[int32]kgo.Offset{}
		for p := range partitions {
			from[topic][p] = kgo.NewOffset().At(0)
			x.history.Add(history.Assigned{Place: history.Place{Topic: topic, Partition: p}, Reader: name})
		}
	}
	c := patientClient(x.s, kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	defer c.Close()
	for x.readUntil.Err() == nil {
		fetches := c.PollFetches(x.readUntil)
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			// kgo knows the epoch of the last record that it returned, and not of what it passed over, aborted or a marker:
			// where that is of a later epoch it believes that records were lost. Whether they were the history tells.
			if loss := (*kgo.ErrDataLoss)(nil); x.readUntil.Err() == nil && !errors.As(err, &loss) {
				x.t.Errorf("%s reads %s-%d: %v", name, topic, partition, err)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			read := history.TxnRead{Place: placeOf(r), Reader: name, Offset: r.Offset, Transaction: header(r, transactionHeader), Record: identityOf(r)}
			x.history.Add(read)
			took(read, r)
		})
	}
}

func header(r *kgo.Record, key string) string {
	i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == key })
	if i < 0 {
		return ""
	}
	return string(r.Headers[i].Value)
}

// watchStable asks for all last stable offsets, and for the offsets of groups, some hundred times a second.
func (x *transactions) watchStable(groups map[string]string) {
	admin := kadm.NewClient(patientClient(x.s))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; x.readUntil.Err() == nil; <-tick.C {
		x.lookStable(x.readUntil, admin)
		x.lookOffsets(x.readUntil, admin, groups)
	}
}

func (x *transactions) lookStable(ctx context.Context, admin *kadm.Client) {
	since := x.history.Now()
	stable, err := admin.ListCommittedOffsets(ctx, x.topicNames()...)
	if err != nil {
		return
	}
	stable.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			x.history.Add(history.LastStable{Place: history.Place{Topic: o.Topic, Partition: o.Partition}, Since: since, Offset: o.Offset})
		}
	})
}

// lookOffsets asks for the offsets of groups, by the topic that each consumes.
func (x *transactions) lookOffsets(ctx context.Context, admin *kadm.Client, groups map[string]string) {
	for group, topic := range groups {
		since := x.history.Now()
		offsets, err := admin.FetchOffsetsForTopics(kadm.RequireStable(ctx), group, topic)
		if err != nil {
			continue
		}
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Err == nil {
				x.history.Add(history.CommitSeen{Place: history.Place{Topic: o.Topic, Partition: o.Partition}, Group: group, Since: since, Offset: o.At})
			}
		})
	}
}

func (x *transactions) topicNames() (names []string) {
	for topic := range x.topics {
		names = append(names, topic)
	}
	slices.Sort(names)
	return names
}

// awaitStable returns when no transaction is open or undecided any more.
func (x *transactions) awaitStable() {
	x.t.Helper()
	admin := kadm.NewClient(patientClient(x.s))
	eventually(x.t, "every last stable offset reaches its high watermark", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stable, err := admin.ListCommittedOffsets(ctx, x.topicNames()...)
		ends, errEnds := admin.ListEndOffsets(ctx, x.topicNames()...)
		if errors.Join(err, errEnds) != nil {
			return false
		}
		same := true
		ends.Each(func(o kadm.ListedOffset) {
			s, ok := stable.Lookup(o.Topic, o.Partition)
			same = same && ok && o.Err == nil && s.Err == nil && s.Offset == o.Offset
		})
		return same
	})
}

// judge reads what is stored and checks the whole history against it. It returns what is stored, by topic.
func (x *transactions) judge(promises history.Promises, groups map[string]string) map[string][]*kgo.Record {
	x.t.Helper()
	content := map[string][]*kgo.Record{}
	for topic, partitions := range x.topics {
		stored := make([]history.TxnStored, partitions)
		for p := range stored {
			stored[p].Place = history.Place{Topic: topic, Partition: int32(p)}
		}
		content[topic] = x.s.readCommitted(topic)
		for _, r := range content[topic] {
			p := &stored[r.Partition]
			p.Records = append(p.Records, history.TxnStoredRecord{Offset: r.Offset, Transaction: header(r, transactionHeader), Record: identityOf(r)})
		}
		for _, p := range stored {
			x.history.Add(p)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	x.lookOffsets(ctx, kadm.NewClient(x.s.client()), groups)
	violations, summary := history.CheckTransactions(x.history.Events(), promises)
	x.t.Logf("%v", summary)
	for i, v := range violations {
		if i == 20 {
			x.t.Fatalf("and %d more", len(violations)-i)
		}
		x.t.Errorf("%v", v)
	}
	if summary.Committed == 0 || summary.Stored == 0 || summary.LastStables == 0 {
		x.t.Error("the history is too empty to prove anything")
	}
	return content
}

// readCommitted returns the records of the topic that a reader with read_committed sees, partition after partition in
// their order, up to the last stable offset of now. That it comes there is seen by the markers.
func (s *server) readCommitted(topic string) []*kgo.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stable, err := kadm.NewClient(s.client()).ListCommittedOffsets(ctx, topic)
	if err != nil {
		s.t.Fatal(err)
	}
	left := map[int32]int64{}
	stable.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	c := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			s.t.Fatalf("read %s: %v are left: %v", topic, left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	slices.SortStableFunc(records, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	return records
}

// disturb kills the broker, or stops it for a while, whenever so many more transactions are committed.
func (x *transactions) disturb(times int, everyMax int64, stops bool) {
	x.t.Helper()
	for i := range times {
		x.awaitCommitted(1 + rand.Int64N(everyMax))
		if stops && i%2 == 1 {
			x.s.signal(syscall.SIGSTOP)
			<-time.After(stopSpan) // clients go without answers for so long
			x.s.signal(syscall.SIGCONT)
			continue
		}
		x.s.kill()
		x.s.expectQuiet()
		x.s.start()
	}
	x.awaitCommitted(everyMax)
}

// stopSpan is how long a broker is stopped.
const stopSpan = 2 * time.Second

// awaitCommitted returns when so many more transactions are committed.
func (x *transactions) awaitCommitted(count int64) {
	x.t.Helper()
	for want := x.committed.Load() + count; x.committed.Load() < want; { // for as long as some are
		last := x.committed.Load()
		eventually(x.t, "transactions are committed", func() bool { return x.committed.Load() > last })
	}
}
