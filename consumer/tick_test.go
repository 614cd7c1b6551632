package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
)

// clock is a processor that ticks, and makes a processor of itself.
type clock struct {
	handler
	tick    func(ctx context.Context, p *consumer.Partition) error
	prepare func(commit *consumer.Commit)
}

func (c *clock) Assigned(context.Context, *consumer.Partition) (consumer.Processor, error) {
	return c, nil
}

func (c *clock) Tick(ctx context.Context, p *consumer.Partition, _ time.Time) error {
	return c.tick(ctx, p)
}

func (c *clock) Prepare(_ context.Context, commit *consumer.Commit) error {
	if c.prepare != nil {
		c.prepare(commit)
	}
	return nil
}

func (c *clock) Committed(context.Context, *consumer.Commit) error { return nil }

func nothing(context.Context, *consumer.Batch) error { return nil }

// What ticks produce is committed with offsets that do not move, of a partition without any records too, so that a member
// whose partition is somebody else's cannot commit it.
func TestATickNeedsNoRecord(t *testing.T) {
	for _, records := range []int{0, 10} {
		t.Run(fmt.Sprint(records, " records"), func(t *testing.T) {
			const ticks = 5
			c := newCluster(t)
			input, output := c.topic("input", 1), c.topic("output", 1)
			c.produce(input, 1, 0, records)
			var ticked, failed int
			ticking := &clock{handler: handler{process: nothing}}
			ticking.tick = func(ctx context.Context, p *consumer.Partition) error {
				if ticked == ticks || p.Position() < int64(records) && p.Committed().At < int64(records) && records > 0 {
					return nil
				}
				if ticked == 2 && failed == 0 {
					failed++
					return io.ErrUnexpectedEOF
				}
				ticked++
				return p.Produce(ctx, &kgo.Record{Topic: output, Value: fmt.Append(nil, ticked-1)})
			}
			ticking.prepare = func(commit *consumer.Commit) {
				commit.Offset.At = max(commit.Offset.At, 0)
				if ticked > 0 {
					commit.Offset.Metadata = fmt.Sprint("tick ", ticked)
				}
			}
			ticking.revoked = func(*consumer.Partition, consumer.Reason) { ticked = committedTicks(t, c, input) }
			options := c.transactional(input, input, ticking)
			options.TickInterval, options.Retry = time.Millisecond, consumer.RetryTimes(1, 0)
			stop := run(t, options)
			exactlyOnce(t, c.values(output, ticks), ticks)
			if err := stop(); err != nil {
				t.Error(err)
			}
			offsets, err := c.admin.FetchOffsets(kadm.RequireStable(t.Context()), input)
			if err != nil {
				t.Fatal(err)
			}
			if at, _ := offsets.Lookup(input, 0); at.At != int64(records) || at.Metadata != fmt.Sprint("tick ", ticks) {
				t.Errorf("committed %+v", at)
			}
			if failed == 0 {
				t.Error("no tick failed")
			}
		})
	}
}

// committedTicks returns how many ticks are committed.
func committedTicks(t *testing.T, c *cluster, group string) (n int) {
	offsets, err := c.admin.FetchOffsets(kadm.RequireStable(context.Background()), group)
	if err != nil {
		t.Error(err)
	}
	at, _ := offsets.Lookup(group, 0)
	_, _ = fmt.Sscanf(at.Metadata, "tick %d", &n)
	return n
}

// A marker that ends a partition is seen by nobody, but its processor is told that the position is the end.
func TestATickComesBehindAMarker(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	var last atomic.Int64
	ticking := &clock{handler: handler{process: nothing}}
	ticking.tick = func(_ context.Context, p *consumer.Partition) error {
		last.Store(p.Position())
		return nil
	}
	options := c.options(input, input, ticking)
	options.TickInterval, options.CommitInterval = time.Hour, time.Hour
	run(t, options)
	producer, err := kgo.NewClient(c.seeds(kgo.TransactionalID(input), kgo.DefaultProduceTopic(input))...)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for i := range 2 {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(t.Context(), kgo.TransactionEndTry(i == 0)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a tick at the end", func() bool { return last.Load() == 4 })
}

// A batch with the end and the stable end of its partition says what is still to come.
func TestABatchSaysWhatIsStillToCome(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 10)
	var seen atomic.Pointer[consumer.Batch]
	options := c.options(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
		seen.Store(&consumer.Batch{Next: batch.Next, StableEnd: batch.StableEnd, HighWatermark: batch.HighWatermark})
		return consumer.ErrStop
	}))
	options.BatchRecords = 4
	group, err := consumer.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if batch := seen.Load(); batch.Next != 4 || batch.StableEnd != 10 || batch.HighWatermark != 10 {
		t.Errorf("%+v", batch)
	}
}

// A processor that keeps records and returns when it is waited for goes on behind the commit, and loses none.
func TestALongBatchMakesWayForACommit(t *testing.T) {
	const records = 20
	c := newCluster(t)
	input, output := c.topic("input", 1), c.topic("output", 1)
	c.produce(input, 1, 0, records)
	var kept []*kgo.Record
	slow := &clock{}
	work := func(ctx context.Context, p *consumer.Partition) error {
		if len(kept) > 0 { // one record takes until a commit is due
			<-p.Running().Done()
			first := kept[0]
			kept = kept[1:]
			return p.Produce(ctx, &kgo.Record{Topic: output, Value: first.Value})
		}
		return nil
	}
	slow.tick = work
	slow.process = func(ctx context.Context, batch *consumer.Batch) error {
		kept = append(kept, batch.Records...)
		return work(ctx, batch.Partition)
	}
	slow.prepare = func(commit *consumer.Commit) {
		if len(kept) > 0 {
			commit.Offset.At = kept[0].Offset
		}
	}
	options := c.transactional(input, input, slow)
	options.TickInterval, options.CommitInterval = time.Hour, time.Millisecond
	stop := run(t, options)
	exactlyOnce(t, c.values(output, records), records)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if lag := c.lag(input, input); lag != 0 {
		t.Errorf("lag %d", lag)
	}
}

// A handler that never returns ends Run with an error that names it, and holds up nobody else.
func TestAStuckHandlerIsLeftBehind(t *testing.T) {
	for _, transactional := range []bool{false, true} {
		t.Run(fmt.Sprint("transactional ", transactional), func(t *testing.T) {
			c := newCluster(t)
			input, output := c.topic("input", 1), c.topic("output", 1)
			c.produce(input, 1, 0, 10)
			goOn, returned := make(chan struct{}), make(chan error, 1)
			stuck := consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
				<-goOn
				err := copying(output)(ctx, batch)
				returned <- err
				return err
			})
			options := c.options(input, input, stuck)
			if transactional {
				options = c.transactional(input, input, stuck)
			}
			halted := &clock{handler: handler{process: stuck}, tick: func(context.Context, *consumer.Partition) error { return nil }}
			options.Handler = halted // a committer is waited for at each commit
			options.StopTimeout, options.AbandonTimeout, options.CommitInterval = time.Millisecond, time.Millisecond, time.Millisecond
			group, err := consumer.New(options)
			if err != nil {
				t.Fatal(err)
			}
			err = group.Run(t.Context())
			var named *consumer.StuckError
			if !errors.Is(err, consumer.ErrStuck) || !errors.As(err, &named) || named.Partition.Topic != input {
				t.Errorf("Run returned %v", err)
			}
			next := c.options(input, input, copying(output))
			if transactional {
				next = c.transactional(input, input, copying(output))
			}
			stop := run(t, next)
			exactlyOnce(t, c.values(output, 10), 10)
			close(goOn)
			if err := <-returned; !errors.Is(err, consumer.ErrStuck) {
				t.Errorf("the one that was left behind produced: %v", err)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
