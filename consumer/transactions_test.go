package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/consumer"
)

// A partition that ends in markers and aborted records is read to its very end.
func TestReaderComesToTheEndBehindMarkers(t *testing.T) {
	c := newCluster(t)
	topic := c.topic("markers", 1)
	client, err := kgo.NewClient(c.seeds(kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort, kgo.TryAbort} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(i, commit))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(client.AbortBufferedRecords(t.Context()), client.EndTransaction(t.Context(), commit)); err != nil { // see Outlet.Commit
			t.Fatal(err)
		}
	}
	for _, end := range []consumer.Bound{consumer.AtStableEnd(), consumer.AtLogEnd()} {
		spans := c.spans(consumer.AtStart(), end, topic)
		values, positions := readAll(t, consumer.ReaderOptions{Client: c.seeds(), Spans: spans})
		if fmt.Sprint(values) != "[0 true 2 true]" || positions[spans[0].TopicPartition] != 10 {
			t.Errorf("committed: %v, position %v", values, positions)
		}
		values, positions = readAll(t, consumer.ReaderOptions{Client: c.seeds(), Spans: spans, Uncommitted: true})
		if len(values) != 5 || positions[spans[0].TopicPartition] != 10 {
			t.Errorf("uncommitted: %v, position %v", values, positions)
		}
	}
}

func TestExactlyOnceThroughRebalances(t *testing.T) {
	const partitions, records = 4, 4000
	c := newCluster(t)
	input, output := c.topic("input", partitions), c.topic("output", 3)
	c.produce(input, partitions, 0, records/2)
	group := input
	member := func(i int) func() error {
		options := c.options(group, input, copying(output))
		options.TransactionalID = fmt.Sprintf("%s-%d", group, i)
		options.BatchRecords = 20
		return run(t, options)
	}
	first := member(0)
	second := member(1)
	c.values(output, 1)
	third := member(2)
	c.produce(input, partitions, records/2, records)
	c.values(output, records/2)
	if err := second(); err != nil {
		t.Error(err)
	}
	values := c.values(output, records)
	for _, stop := range []func() error{first, third} {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	exactlyOnce(t, values, records)
	if lag := c.lag(group, input); lag != 0 {
		t.Errorf("lag %d", lag)
	}
}

func (c *cluster) transactional(name, input string, handler consumer.Handler) consumer.Options {
	options := c.options(name, input, handler)
	options.TransactionalID = name
	options.BatchRecords = 10
	return options
}

// Whatever became of a commit that the client lost sight of, each record is in one committed output.
func TestExactlyOnceWhenTheOutcomeIsUnknown(t *testing.T) {
	for name, committed := range map[string]bool{"it was committed": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			input, output := c.topic("input", 2), c.topic("output", 1)
			c.produce(input, 2, 0, 400)
			cut := &cutter{key: kmsg.EndTxn, mends: kmsg.InitProducerID, lets: committed, times: 3}
			var rewound atomic.Int64
			h := &handler{process: copying(output), revoked: func(_ *consumer.Partition, reason consumer.Reason) {
				if reason == consumer.Rewound {
					rewound.Add(1)
				}
			}}
			options := c.transactional(input, input, h)
			options.Producer = cutting(t, cut)
			options.CommitRecords = 50
			stop := run(t, options)
			eventually(t, "the first half", func() bool { return c.lag(input, input) == 0 })
			c.produce(input, 2, 400, 800)
			values := c.values(output, 800)
			if err := stop(); err != nil {
				t.Error(err)
			}
			exactlyOnce(t, values, 800)
			if cut.count() != 3 {
				t.Errorf("%d connections were cut", cut.count())
			}
			if n := rewound.Load(); committed != (n == 0) {
				t.Errorf("%d partitions were rewound", n)
			}
		})
	}
}

func TestExactlyOnceThroughRestartsOfTheBroker(t *testing.T) {
	const records = 1500
	c := newCluster(t)
	input, output := c.topic("input", 3), c.topic("output", 2)
	c.produce(input, 3, 0, records/3)
	stop := run(t, c.transactional(input, input, copying(output)))
	for i := range 2 {
		c.values(output, (2*i+1)*records/10)
		c.restart()
		c.produce(input, 3, (i+1)*records/3, (i+2)*records/3)
	}
	values := c.values(output, records)
	eventually(t, "the last commit", func() bool { return c.lag(input, input) == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	exactlyOnce(t, values, records)
}

// What a call produced before it failed is not to be seen, and the retry makes it again.
func TestExactlyOnceThroughFailuresOfTheHandler(t *testing.T) {
	c := newCluster(t)
	input, output := c.topic("input", 2), c.topic("output", 1)
	c.produce(input, 2, 0, 300)
	var calls atomic.Int64
	copy := copying(output)
	options := c.transactional(input, input, consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
		err := copy(ctx, batch)
		switch calls.Add(1) {
		case 5, 12, 13:
			err = io.ErrUnexpectedEOF
		case 20:
			panic("boom")
		}
		return err
	}))
	options.Retry = consumer.RetryTimes(3, time.Millisecond)
	stop := run(t, options)
	values := c.values(output, 300)
	if err := stop(); err != nil {
		t.Error(err)
	}
	exactlyOnce(t, values, 300)
}

func TestAFailureUndoesItsTransaction(t *testing.T) {
	c := newCluster(t)
	input, output := c.topic("input", 1), c.topic("output", 1)
	c.produce(input, 1, 0, 10)
	copy := copying(output)
	group, err := consumer.New(c.transactional(input, input, consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
		batch.Done(5)
		return errors.Join(copy(ctx, batch), io.ErrUnexpectedEOF)
	})))
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Run(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Run returned %v", err)
	}
	spans := c.spans(consumer.AtStart(), consumer.AtLogEnd(), output)
	values, _ := readAll(t, consumer.ReaderOptions{Client: c.seeds(), Spans: spans})
	if len(values) != 0 || c.lag(input, input) != 10 {
		t.Errorf("%d values, lag %d", len(values), c.lag(input, input))
	}
}

func TestATransactionOfOffsetsAlone(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 2)
	c.produce(input, 2, 0, 100)
	stop := run(t, c.transactional(input, input, &handler{}))
	eventually(t, "the commit", func() bool { return c.lag(input, input) == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestTheLaterProcessFencesTheEarlier(t *testing.T) {
	c := newCluster(t)
	input, output := c.topic("input", 1), c.topic("output", 1)
	group, err := consumer.New(c.transactional(input, input, copying(output)))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- group.Run(context.Background()) }()
	c.produce(input, 1, 0, 10)
	c.values(output, 10)
	later, err := consumer.OpenOutlet(t.Context(), consumer.OutletOptions{Client: c.seeds(), Group: "another", TransactionalID: input})
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	c.produce(input, 1, 10, 20)
	if err := <-ended; !errors.Is(err, consumer.ErrFenced) {
		t.Errorf("Run returned %v", err)
	}
	if lag := c.lag(input, input); lag != 10 {
		t.Errorf("lag %d", lag)
	}
}

// A member that the group has dropped, and that does not know it, commits nothing.
func TestAZombieCommitsNothing(t *testing.T) {
	c := newCluster(t)
	input, output := c.topic("input", 1), c.topic("output", 1)
	c.produce(input, 1, 0, 10)
	heartbeats := &cutter{key: kmsg.Heartbeat, mends: -1}
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	copy := copying(output)
	zombie := c.transactional(input, input, consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
		once.Do(func() { close(begun) })
		<-goOn
		return copy(ctx, batch)
	}))
	zombie.TransactionalID += "-zombie"
	zombie.Consumer = []kgo.Opt{heartbeats.option(), kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(200 * time.Millisecond)}
	stopZombie := run(t, zombie)
	<-begun
	heartbeats.mu.Lock()
	heartbeats.times = 1 << 30
	heartbeats.mu.Unlock()
	stop := run(t, c.transactional(input, input, copying(output)))
	c.values(output, 10) // once the zombie's session is over
	close(goOn)
	c.produce(input, 1, 10, 20)
	values := c.values(output, 20)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := stopZombie(); err != nil && !errors.Is(err, consumer.ErrAborted) {
		t.Logf("the zombie ended with %v", err)
	}
	exactlyOnce(t, values, 20)
}

// counter is a processor with state that takes part in commits.
type counter struct {
	handler
	t                   *testing.T
	count, prepared     int
	committed           *atomic.Int64
	prepares, standings *atomic.Int64
}

func (s *counter) Process(ctx context.Context, batch *consumer.Batch) error {
	s.count += len(batch.Records)
	return s.handler.Process(ctx, batch)
}

func (s *counter) Prepare(ctx context.Context, commit *consumer.Commit) error {
	s.prepares.Add(1)
	commit.Offset.Metadata = fmt.Sprint(s.count)
	s.prepared = s.count
	if s.count == 0 {
		return nil
	}
	return commit.Partition.Produce(ctx, &kgo.Record{Topic: commit.Partition.Topic + "-changes", Value: fmt.Append(nil, s.count)})
}

func (s *counter) Committed(_ context.Context, commit *consumer.Commit) error {
	s.standings.Add(1)
	if s.prepared != s.count || commit.Offset.Metadata != fmt.Sprint(s.count) {
		s.t.Errorf("a call of Process between Prepare, at %d, and Committed, at %d", s.prepared, s.count)
	}
	s.committed.Store(int64(s.count))
	return nil
}

type counters struct {
	t                              *testing.T
	process                        consumer.ProcessFunc
	committed, prepares, standings atomic.Int64
}

func (s *counters) Assigned(_ context.Context, p *consumer.Partition) (consumer.Processor, error) {
	c := &counter{handler: handler{process: s.process}, t: s.t, committed: &s.committed, prepares: &s.prepares, standings: &s.standings}
	if metadata := p.Committed().Metadata; metadata != "" {
		if _, err := fmt.Sscan(metadata, &c.count); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// State that a processor keeps beside the offsets is that of the offsets, through failures.
func TestACommitterKeepsItsStateWithTheOffsets(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	if _, err := c.admin.CreateTopic(t.Context(), 1, 1, nil, input+"-changes"); err != nil {
		t.Fatal(err)
	}
	c.produce(input, 1, 0, 200)
	var calls atomic.Int64
	s := &counters{t: t, process: func(context.Context, *consumer.Batch) error {
		switch calls.Add(1) {
		case 1, 7, 8, 25:
			return io.ErrUnexpectedEOF
		}
		return nil
	}}
	options := c.transactional(input, input, s)
	options.CommitInterval = time.Millisecond
	options.Retry = consumer.RetryTimes(3, 0)
	stop := run(t, options)
	eventually(t, "all records", func() bool { return c.lag(input, input) == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := s.committed.Load(); n != 200 {
		t.Errorf("state %d after 200 records", n)
	}
	changes, _ := readAll(t, consumer.ReaderOptions{Client: c.seeds(), Spans: c.spans(consumer.AtStart(), consumer.AtStableEnd(), input+"-changes")})
	if len(changes) == 0 || changes[len(changes)-1] != "200" {
		t.Errorf("changes %v", changes)
	}
}

func TestOutletWithoutAGroupOfMembers(t *testing.T) {
	c := newCluster(t)
	output := c.topic("output", 1)
	at := consumer.TopicPartition{Topic: output}
	open := func() *consumer.Outlet {
		t.Helper()
		outlet, err := consumer.OpenOutlet(t.Context(), consumer.OutletOptions{Client: c.seeds(), Group: output, TransactionalID: output})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(outlet.Close)
		return outlet
	}
	committed := func(outlet *consumer.Outlet, want int64) {
		t.Helper()
		offsets, err := outlet.Committed(t.Context(), []consumer.TopicPartition{at})
		if err != nil || offsets[at].At != want {
			t.Errorf("committed %+v, %v, want %d", offsets, err, want)
		}
	}
	first := open()
	committed(first, -1)
	commit := func(outlet *consumer.Outlet, offset int64, values ...string) error {
		for _, v := range values {
			if err := outlet.Produce(t.Context(), &kgo.Record{Topic: output, Value: []byte(v)}); err != nil {
				return err
			}
		}
		return outlet.Commit(t.Context(), nil, consumer.Offsets{at: {At: offset, LeaderEpoch: -1}})
	}
	if err := commit(first, 5, "0", "1"); err != nil {
		t.Fatal(err)
	}
	committed(first, 5)
	if err := commit(first, 6); err != nil { // offsets alone
		t.Fatal(err)
	}
	if err := commit(first, 7, "2"); err != nil {
		t.Fatal(err)
	}
	committed(first, 7)
	if err := first.Produce(t.Context(), &kgo.Record{Topic: output, Value: []byte("aborted")}); err != nil {
		t.Fatal(err)
	}
	if err := first.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Produce(t.Context(), &kgo.Record{Topic: output, Value: []byte("left")}); err != nil {
		t.Fatal(err)
	}
	second := open()
	committed(second, 7)
	if err := commit(first, 8); !errors.Is(err, consumer.ErrFenced) {
		t.Errorf("the fenced outlet: %v", err)
	}
	if err := commit(second, 9, "3"); err != nil {
		t.Fatal(err)
	}
	exactlyOnce(t, c.values(output, 4), 4)
	if err := second.Commit(t.Context(), nil, nil); err == nil {
		t.Error("a commit of no offsets")
	}
}
