package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
)

// run starts a group and returns what ends it and returns its error.
func run(t *testing.T, options consumer.Options) (stop func() error) {
	t.Helper()
	if testing.Verbose() {
		options.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	group, err := consumer.New(options)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- group.Run(context.Background()) }()
	var once sync.Once
	var ended error
	stop = func() error {
		once.Do(func() {
			group.Close()
			ended = <-result
		})
		return ended
	}
	t.Cleanup(func() { stop() })
	return stop
}

// copying is a handler that produces what it is given.
func copying(topic string) consumer.ProcessFunc {
	return func(ctx context.Context, batch *consumer.Batch) error {
		for _, r := range batch.Records {
			if err := batch.Partition.Produce(ctx, &kgo.Record{Topic: topic, Value: r.Value}); err != nil {
				return err
			}
		}
		return nil
	}
}

func (c *cluster) options(name, input string, handler consumer.Handler) consumer.Options {
	return consumer.Options{Client: c.seeds(), Group: name, Topics: []string{input}, Handler: handler, CommitInterval: 50 * time.Millisecond}
}

func TestCommitsWhatWasProcessedAndNoMore(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 2)
	c.produce(input, 2, 0, 200)
	goOn := make(chan struct{})
	var processed atomic.Int64
	options := c.options(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
		if batch.Partition.Partition == 0 && batch.Records[0].Offset == 30 {
			<-goOn
		}
		processed.Add(int64(len(batch.Records)))
		return nil
	}))
	options.BatchRecords = 10
	stop := run(t, options)
	eventually(t, "the commit of 30 and 100 records", func() bool { return c.lag(input, input) == 70 })
	for i := range 3 { // what is fetched meanwhile does not count, and the other partition tells that there was a commit
		c.produce(input, 2, 200+20*i, 220+20*i)
		eventually(t, "the commit of the other partition", func() bool { return c.lag(input, input) == int64(80+10*i) })
	}
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	close(goOn)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if lag := c.lag(input, input); lag != 260-processed.Load() || lag > 100 {
		t.Errorf("lag %d after %d of 260 were processed", lag, processed.Load())
	}
}

func TestDoneIsCommittedWhenTheHandlerStops(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"ErrStop", fmt.Errorf("enough: %w", consumer.ErrStop), nil},
		{"failure", io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := newCluster(t)
			input := cluster.topic("input", 1)
			cluster.produce(input, 1, 0, 20)
			stop := run(t, cluster.options(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
				batch.Done(7)
				return c.err
			})))
			eventually(t, "the commit", func() bool { return cluster.lag(input, input) == 13 })
			if err := stop(); !errors.Is(err, c.want) {
				t.Errorf("Run returned %v", err)
			}
		})
	}
}

func TestAPanicIsAnError(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 1)
	group, err := consumer.New(c.options(input, input, consumer.ProcessFunc(func(context.Context, *consumer.Batch) error { panic("boom") })))
	if err != nil {
		t.Fatal(err)
	}
	err = group.Run(t.Context())
	var panicked *consumer.PanicError
	if !errors.As(err, &panicked) || panicked.Value != "boom" || !strings.Contains(err.Error(), "at offset 0") {
		t.Error(err)
	}
	if err := group.Run(t.Context()); err == nil {
		t.Error("Run runs twice")
	}
	group.Close()
}

func TestRetryBeginsBehindWhatIsDone(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 10)
	var mu sync.Mutex
	var seen []string
	var failures []consumer.Failure
	options := c.options(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		for i, r := range batch.Records {
			if string(r.Value) == "4" && len(failures) < 3 {
				batch.Done(i)
				return io.ErrNoProgress
			}
			seen = append(seen, string(r.Value))
		}
		return nil
	}))
	options.Retry = func(f consumer.Failure) (time.Duration, bool) {
		failures = append(failures, f)
		return consumer.RetryTimes(5, time.Millisecond)(f)
	}
	run(t, options)
	eventually(t, "all records", func() bool { return c.lag(input, input) == 0 })
	mu.Lock()
	defer mu.Unlock()
	exactlyOnce(t, seen, 10)
	for i, f := range failures {
		if f.Offset != 4 || f.Partition.Topic != input || !errors.Is(f.Err, io.ErrNoProgress) || f.Attempt != i+1 {
			t.Errorf("failure %d: %+v", i, f)
		}
	}
	if len(failures) != 3 {
		t.Errorf("%d failures", len(failures))
	}
}

// polled counts the bytes that a client handed out.
type polled struct{ bytes atomic.Int64 }

func (p *polled) OnFetchRecordUnbuffered(r *kgo.Record, handedOut bool) {
	if handedOut && r.Partition == 0 {
		p.bytes.Add(int64(len(r.Value)))
	}
}

func TestASlowPartitionHoldsUpNobodyAndFetchesNoMore(t *testing.T) {
	const recordBytes, fetchBytes, queueBytes = 1000, 16 << 10, 64 << 10
	c := newCluster(t)
	input := c.topic("input", 2)
	var records []*kgo.Record
	for i := range 2000 {
		records = append(records, &kgo.Record{Topic: input, Partition: int32(i % 2), Value: make([]byte, recordBytes)})
	}
	client, err := kgo.NewClient(c.seeds(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(8<<10),
		kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	goOn := make(chan struct{})
	var fast, slow atomic.Int64
	count := &polled{}
	options := c.options(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
		if batch.Partition.Partition == 0 {
			<-goOn
			slow.Add(int64(len(batch.Records)))
		} else {
			fast.Add(int64(len(batch.Records)))
		}
		return nil
	}))
	options.QueueBytes, options.BatchRecords = queueBytes, 5
	options.Consumer = []kgo.Opt{kgo.WithHooks(count), kgo.FetchMaxPartitionBytes(fetchBytes)}
	run(t, options)
	eventually(t, "the fast partition", func() bool { return fast.Load() == 1000 })
	if bytes := count.bytes.Load(); bytes > queueBytes+2*fetchBytes {
		t.Errorf("%d bytes were fetched of the slow partition", bytes)
	}
	close(goOn)
	eventually(t, "the slow partition", func() bool { return slow.Load() == 1000 })
}

func TestPauseAndResume(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 2)
	partitions := make(chan *consumer.Partition, 2)
	var zero, one atomic.Int64
	run(t, c.options(input, input, &handler{
		assigned: func(p *consumer.Partition) { partitions <- p },
		process: func(_ context.Context, batch *consumer.Batch) error {
			if batch.Partition.Partition == 0 {
				zero.Add(int64(len(batch.Records)))
				batch.Partition.Pause()
			} else {
				one.Add(int64(len(batch.Records)))
			}
			return nil
		},
	}))
	first, second := <-partitions, <-partitions
	if first.Partition != 0 {
		first = second
	}
	c.produce(input, 2, 0, 2)
	eventually(t, "the first records", func() bool { return zero.Load() == 1 && one.Load() == 1 })
	c.produce(input, 2, 2, 100)
	eventually(t, "the partition that goes on", func() bool { return one.Load() == 50 })
	if n := zero.Load(); n != 1 {
		t.Errorf("%d records of the paused partition", n)
	}
	eventually(t, "the rest", func() bool { first.Resume(); return zero.Load() == 50 })
}

// handler is a Handler of functions, all optional.
type handler struct {
	assigned func(*consumer.Partition)
	process  consumer.ProcessFunc
	revoked  func(*consumer.Partition, consumer.Reason)
}

func (h *handler) Assigned(_ context.Context, p *consumer.Partition) (consumer.Processor, error) {
	if h.assigned != nil {
		h.assigned(p)
	}
	return h, nil
}

func (h *handler) Process(ctx context.Context, batch *consumer.Batch) error {
	if h.process == nil {
		return nil
	}
	return h.process(ctx, batch)
}

func (h *handler) Revoked(_ context.Context, p *consumer.Partition, reason consumer.Reason) error {
	if h.revoked != nil {
		h.revoked(p, reason)
	}
	return nil
}

// owners keeps who has which partition, and fails the test when two have the same.
type owners struct {
	t  *testing.T
	mu sync.Mutex
	of map[int32]string
}

func (o *owners) handler(name string) *handler {
	return &handler{
		assigned: func(p *consumer.Partition) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.of[p.Partition] != "" {
				o.t.Errorf("%s is given partition %d of %s", name, p.Partition, o.of[p.Partition])
			}
			o.of[p.Partition] = name
		},
		revoked: func(p *consumer.Partition, reason consumer.Reason) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.of[p.Partition] != name || reason != consumer.Drained {
				o.t.Errorf("%s gives up partition %d of %q: %v", name, p.Partition, o.of[p.Partition], reason)
			}
			delete(o.of, p.Partition)
		},
	}
}

func (o *owners) count(name string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, owner := range o.of {
		if owner == name {
			n++
		}
	}
	return n
}

func TestPartitionsMoveBetweenMembers(t *testing.T) {
	for name, balancer := range map[string]kgo.GroupBalancer{"cooperative": kgo.CooperativeStickyBalancer(), "eager": kgo.RangeBalancer()} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			input := c.topic("input", 4)
			o := &owners{t: t, of: map[int32]string{}}
			var mine atomic.Int64
			member := func(name string) func() error {
				options := c.options(input, input, o.handler(name))
				if name == "first" {
					options.Rebalanced = func(partitions []consumer.TopicPartition) { mine.Store(int64(len(partitions))) }
				}
				options.Consumer = []kgo.Opt{kgo.Balancers(balancer), kgo.HeartbeatInterval(100 * time.Millisecond)}
				return run(t, options)
			}
			first := member("first")
			eventually(t, "one has all", func() bool { return o.count("first") == 4 })
			second := member("second")
			eventually(t, "two have two", func() bool { return o.count("first") == 2 && o.count("second") == 2 })
			if n := mine.Load(); n != 2 {
				t.Errorf("the first is told of %d partitions", n)
			}
			if err := first(); err != nil {
				t.Error(err)
			}
			eventually(t, "the other has all", func() bool { return o.count("second") == 4 })
			if err := second(); err != nil {
				t.Error(err)
			}
			if n := o.count("first") + o.count("second"); n > 0 {
				t.Errorf("%d partitions were not given up", n)
			}
		})
	}
}

func TestALaneHasOneWorker(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 4)
	c.produce(input, 4, 0, 400)
	var running, most, total atomic.Int64
	options := c.options(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
		most.Store(max(most.Load(), running.Add(1)))
		runtime.Gosched()
		total.Add(int64(len(batch.Records)))
		running.Add(-1)
		return nil
	}))
	options.BatchRecords = 3
	options.Lane = func(consumer.TopicPartition) string { return "the only one" }
	run(t, options)
	eventually(t, "all records", func() bool { return total.Load() == 400 })
	if n := most.Load(); n != 1 {
		t.Errorf("%d calls at a time", n)
	}
}

func TestAtLeastOnceThroughARestartOfTheBroker(t *testing.T) {
	c := newCluster(t)
	input, output := c.topic("input", 3), c.topic("output", 2)
	c.produce(input, 3, 0, 500)
	options := c.options(input, input, copying(output))
	options.BatchRecords = 10
	stop := run(t, options)
	c.values(output, 100)
	c.restart()
	c.produce(input, 3, 500, 1000)
	eventually(t, "all records", func() bool { return c.lag(input, input) == 0 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, v := range c.values(output, 1000) {
		seen[v] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 values arrived", len(seen))
	}
}

func TestOutputsThatFailAreNotCommitted(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 5)
	group, err := consumer.New(c.options(input, input, consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
		return batch.Partition.Produce(ctx, &kgo.Record{Topic: input, Value: make([]byte, 2<<20)})
	})))
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Run(t.Context()); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("Run returned %v", err)
	}
	if lag := c.lag(input, input); lag != 5 {
		t.Errorf("lag %d", lag)
	}
}

func TestAHandlerThatTakesTooLongIsInterrupted(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 5)
	begun := make(chan struct{})
	options := c.options(input, input, consumer.ProcessFunc(func(ctx context.Context, batch *consumer.Batch) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}))
	options.StopTimeout = 10 * time.Millisecond
	stop := run(t, options)
	<-begun
	if err := stop(); err != nil {
		t.Error(err)
	}
	if lag := c.lag(input, input); lag != 5 {
		t.Errorf("lag %d", lag)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := consumer.Options{Group: "g", Topics: []string{"t"}, Handler: consumer.ProcessFunc(func(context.Context, *consumer.Batch) error { return nil })}
	if _, err := consumer.New(good); err != nil {
		t.Error(err)
	}
	for what, spoil := range map[string]func(*consumer.Options){
		"Group":    func(o *consumer.Options) { o.Group = "" },
		"Topics":   func(o *consumer.Options) { o.Topics = nil },
		"Handler":  func(o *consumer.Options) { o.Handler = nil },
		"negative": func(o *consumer.Options) { o.QueueBytes = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := consumer.New(bad); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRecordsThatAreGoneEndTheGroupUnlessItIsToGoOn(t *testing.T) {
	c := newCluster(t)
	input := c.topic("input", 1)
	c.produce(input, 1, 0, 10)
	var processed atomic.Int64
	stop := run(t, c.options(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
		batch.Done(2)
		return consumer.ErrStop
	})))
	eventually(t, "the commit", func() bool { return c.lag(input, input) == 8 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.DeleteRecords(t.Context(), deleteTo(input, 5)); err != nil {
		t.Fatal(err)
	}
	options := c.options(input, input, consumer.ProcessFunc(func(_ context.Context, batch *consumer.Batch) error {
		processed.Add(int64(len(batch.Records)))
		return nil
	}))
	group, err := consumer.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := group.Run(t.Context()); !errors.Is(err, kerr.OffsetOutOfRange) || processed.Load() != 0 {
		t.Errorf("Run returned %v after %d records", err, processed.Load())
	}
	options.ResetLostOffsets = true
	stop = run(t, options)
	eventually(t, "the rest", func() bool { return processed.Load() == 5 })
	if err := stop(); err != nil {
		t.Error(err)
	}
}
