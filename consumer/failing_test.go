package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/consumer"
)

// What comes behind a batch that failed, or that ended the group, is not processed: its offset would cover the failed one.
func TestNothingBehindAFailureIsProcessed(t *testing.T) {
	failure := errors.New("no")
	for name, cause := range map[string]error{"failure": failure, "stop": consumer.ErrStop} {
		for _, transactional := range []bool{false, true} {
			if transactional {
				name += " with transactions"
			}
			t.Run(name, func(t *testing.T) {
				c := newCluster(t)
				input := c.topic("input", 1)
				c.produce(input, 1, 0, 200)
				options := c.options(input, input, nil)
				if transactional {
					options.TransactionalID = input
				}
				var behind atomic.Int64
				options.BatchRecords = 1
				options.Handler = consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
					switch offset := batch.Records[0].Offset; {
					case offset == 100:
						return cause
					case offset > 100:
						behind.Add(1)
					}
					return nil
				})
				group, err := consumer.New(options)
				if err != nil {
					t.Fatal(err)
				}
				if err := group.Run(t.Context()); cause == failure && !errors.Is(err, failure) || cause == consumer.ErrStop && err != nil {
					t.Fatalf("Run returned %v", err)
				}
				if n := behind.Load(); n > 0 {
					t.Errorf("%d records behind it were processed", n)
				}
				if lag := c.lag(options.Group, input); lag < 100 {
					t.Errorf("lag %d: the offset of what failed is committed", lag)
				}
			})
		}
	}
}

// interrupting calls do once, as the first request with a key goes out.
type interrupting struct {
	key  kmsg.Key
	once sync.Once
	do   func()
}

func (i *interrupting) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == int16(i.key) {
		i.once.Do(i.do)
	}
}

// Workers go on while offsets are committed at least once. What they produce then counts for the next commit.
func TestAnOutputThatFailsDuringACommitFailsTheNext(t *testing.T) {
	c := newCluster(t)
	input, output := c.topic("input", 1), c.topic("output", 1)
	hook := &interrupting{key: kmsg.OffsetCommit}
	outlet, err := consumer.OpenOutlet(t.Context(), consumer.OutletOptions{Client: c.seeds(kgo.WithHooks(hook)), Group: input})
	if err != nil {
		t.Fatal(err)
	}
	defer outlet.Close()
	hook.do = func() {
		huge := &kgo.Record{Topic: output, Value: bytes.Repeat([]byte("x"), 8<<20)}
		if err := outlet.Produce(t.Context(), huge); err != nil {
			t.Error(err)
		}
	}
	first := consumer.TopicPartition{Topic: input}
	if err := outlet.Commit(t.Context(), nil, consumer.Offsets{first: {At: 1, LeaderEpoch: -1}}); err != nil {
		t.Fatal(err)
	}
	err = outlet.Commit(t.Context(), nil, consumer.Offsets{first: {At: 2, LeaderEpoch: -1}})
	if !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("the offset of an output that is lost was committed: %v", err)
	}
}

func TestAnOutletThatIsClosedProducesNothing(t *testing.T) {
	c := newCluster(t)
	outlet, err := consumer.OpenOutlet(t.Context(), consumer.OutletOptions{Client: c.seeds(), Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	outlet.Close()
	if err := outlet.Produce(t.Context(), &kgo.Record{Topic: "output"}); !errors.Is(err, kgo.ErrClientClosed) {
		t.Errorf("Produce after Close: %v", err)
	}
}

// What a batch has produced is never committed without its offsets, also if it ends the group.
func TestStoppingCommitsNoOutputWithoutItsOffset(t *testing.T) {
	for name, done := range map[string]int{"nothing is done": 0, "one record is done": 1} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			input, output := c.topic("input", 1), c.topic("output", 1)
			c.produce(input, 1, 0, 100)
			options := c.options(input, input, nil)
			options.TransactionalID, options.BatchRecords, options.CommitInterval = input, 10, time.Hour
			produce := copying(output)
			options.Handler = consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
				if done > 0 && batch.Records[0].Offset == 50 {
					batch.Done(done)
				}
				if err := produce(ctx, batch); err != nil || batch.Records[0].Offset < 50 {
					return err
				}
				return consumer.ErrStop
			})
			group, err := consumer.New(options)
			if err != nil {
				t.Fatal(err)
			}
			if err := group.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "Batch.Done") {
				t.Errorf("Run returned %v", err)
			}
			options.Handler, options.CommitInterval = produce, 0
			run(t, options)
			eventually(t, "all is copied", func() bool { return c.lag(input, input) == 0 })
			exactlyOnce(t, c.values(output, 100), 100)
		})
	}
}

// What is still under way when the group ends, or a partition goes, arrives: it was produced with the context of a batch.
func TestClosingInTheMiddleFailsNoOutput(t *testing.T) {
	for _, transactional := range []bool{false, true} {
		t.Run(fmt.Sprint("transactional ", transactional), func(t *testing.T) {
			c := newCluster(t)
			input, output := c.topic("input", 1), c.topic("output", 1)
			c.produce(input, 1, 0, 3000)
			options := c.options(input, input, nil)
			options.CommitInterval, options.Producer = time.Hour, []kgo.Opt{kgo.ProducerLinger(500 * time.Millisecond)}
			if transactional {
				options.TransactionalID = input
			}
			produce, begun := copying(output), make(chan struct{}, 3000)
			options.Handler = consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
				err := produce(ctx, batch)
				begun <- struct{}{}
				return err
			})
			stop := run(t, options)
			<-begun
			if err := stop(); err != nil {
				t.Errorf("Run returned %v", err)
			}
			if lag := c.lag(input, input); lag == 3000 {
				t.Error("nothing was committed")
			}
		})
	}
}

// The failures of a record count up, though the records before it are processed again each time: with a transaction, all is undone.
func TestAttemptsCountOverWhatIsUndone(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 10)
	options := c.transactional(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
		if batch.Records[0].Offset == 5 {
			return io.ErrNoProgress
		}
		return nil
	}))
	options.BatchRecords, options.CommitInterval = 1, time.Hour
	var failures []consumer.Failure
	options.Retry = func(f consumer.Failure) (time.Duration, bool) {
		failures = append(failures, f)
		return consumer.RetryTimes(3, 0)(f)
	}
	group, err := consumer.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Run(t.Context()); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("Run returned %v", err)
	}
	for i, f := range failures {
		if f.Offset != 5 || f.Attempt != i+1 {
			t.Errorf("failure %d: %+v", i, f)
		}
	}
	if len(failures) != 4 {
		t.Errorf("%d failures, want one and 3 retries", len(failures))
	}
}

// The pause before a retry is one of records: the processor is made at once, which may take as long, and nothing is processed meanwhile.
func TestThePauseBeforeARetryIsUsedToBeginAnew(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 10)
	var assigned, processed atomic.Int64
	begunAnew := make(chan struct{})
	options := c.transactional(input, input, &handler{
		assigned: func(*consumer.Partition) {
			if assigned.Add(1) == 2 {
				close(begunAnew)
			}
		},
		process: func(context.Context, *consumer.Batch) error {
			processed.Add(1)
			return io.ErrNoProgress
		},
	})
	options.Retry = func(consumer.Failure) (time.Duration, bool) { return time.Hour, true }
	stop := run(t, options)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case <-begunAnew:
	case <-deadline.C:
		t.Error("Assigned waits for the retry")
	}
	c.produce(input, 1, 10, 20)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := processed.Load(); n != 1 {
		t.Errorf("%d batches were processed, want the one that failed", n)
	}
}
