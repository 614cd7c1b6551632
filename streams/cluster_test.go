package streams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

// patience bounds what a test waits for; nothing that works takes nearly as long.
const patience = 60 * time.Second

// cluster is a broker of a test's own, which can be killed and started again at its address.
type cluster struct {
	t        *testing.T
	settings broker.Options
	broker   *broker.Broker
	client   *kgo.Client
	admin    *kadm.Client
	apps     []*running
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, settings: broker.Options{
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Config: map[string]string{"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "100", "auto.create.topics.enable": "false"},
	}}
	c.start()
	c.settings.Listen = c.broker.Addr().String()
	t.Cleanup(func() { c.broker.Close() })
	client, err := kgo.NewClient(c.options(kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c.client, c.admin = client, kadm.NewClient(client)
	return c
}

func (c *cluster) start() {
	c.t.Helper()
	b, err := broker.New(c.settings)
	if err == nil {
		err = b.Start(context.Background())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.broker = b
}

func (c *cluster) options(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(c.settings.Listen), kgo.AlwaysRetryEOF(), kgo.MetadataMinAge(50 * time.Millisecond)}, more...)
}

// topic creates a topic that keeps its records, whose timestamps are of 1970.
func (c *cluster) topic(name string, partitions int) {
	c.t.Helper()
	configs := map[string]*string{"retention.ms": kadm.StringPtr("-1")}
	if _, err := c.admin.CreateTopic(c.t.Context(), int32(partitions), 1, configs, name); err != nil {
		c.t.Fatal(err)
	}
}

// send writes records to the partitions that they say.
func (c *cluster) send(records ...*kgo.Record) {
	c.t.Helper()
	if err := c.client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// sendWords writes a line of words for each i, round robin over the partitions of "lines". Word i%words comes once a line.
func (c *cluster) sendWords(partitions, words, from, to int) {
	c.t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: "lines", Partition: int32(i % partitions), Value: fmt.Appendf(nil, "word-%d", i%words),
			Timestamp: time.UnixMilli(int64(i))})
	}
	c.send(records...)
}

// read returns what is committed in a topic, by partition and offset.
func (c *cluster) read(topic string) []*kgo.Record {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	spans, err := consumer.Resolve(ctx, c.client, consumer.AtStart(), consumer.AtStableEnd(), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: c.options(), Spans: spans})
	if err != nil {
		c.t.Fatal(err)
	}
	defer reader.Close()
	var records []*kgo.Record
	for {
		portion, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			c.t.Fatal(err)
		}
		records = append(records, portion.Records...)
	}
}

// counts returns the counts of "counts", and fails the test unless each word's go up by one: none is lost, none counted twice.
func (c *cluster) counts() map[string]int64 {
	c.t.Helper()
	counts := map[string]int64{}
	for _, r := range c.read("counts") {
		count, err := serde.Int64.Decode(r.Value)
		if err != nil {
			c.t.Fatal(err)
		}
		if word := string(r.Key); count != counts[word]+1 {
			c.t.Fatalf("count %d of %s comes behind %d", count, word, counts[word])
		}
		counts[string(r.Key)] = count
	}
	return counts
}

// awaitCounts waits until n words are counted, and fails the test unless all of the words come as often.
func (c *cluster) awaitCounts(words, n int) {
	c.t.Helper()
	var counts map[string]int64
	c.eventually(fmt.Sprintf("%d counted words", n), func() bool {
		var total int64
		counts = c.counts()
		for _, count := range counts {
			total += count
		}
		return total >= int64(n)
	})
	for word := range words {
		want := int64((n - word + words - 1) / words)
		if got := counts[fmt.Sprintf("word-%d", word)]; got != want {
			c.t.Fatalf("word %d was counted %d times, want %d; all: %v", word, got, want, counts)
		}
	}
}

// awaitCountsAtLeast waits until each word of n is counted as often as it came, or more often.
func (c *cluster) awaitCountsAtLeast(words, n int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d words counted at least once", n), func() bool {
		counts := map[string]int64{}
		for _, r := range c.read("counts") {
			count, err := serde.Int64.Decode(r.Value)
			if err != nil {
				c.t.Fatal(err)
			}
			counts[string(r.Key)] = max(counts[string(r.Key)], count)
		}
		for word := range words {
			if counts[fmt.Sprintf("word-%d", word)] < int64((n-word+words-1)/words) {
				return false
			}
		}
		return true
	})
}

// eventually waits until a condition is met.
func (c *cluster) eventually(what string, met func() bool) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-deadline.C:
			c.t.Fatalf("%s: not within %v\n%s", what, patience, c.situation())
		}
	}
}

// situation says where partitions, groups, tasks and goroutines are: what there is to go by when a test has waited in vain.
func (c *cluster) situation() string {
	var text strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, _ := c.admin.ListEndOffsets(ctx)
	stable, _ := c.admin.ListCommittedOffsets(ctx)
	committed, _ := c.admin.FetchOffsets(ctx, "app")
	for _, end := range ends.Offsets().Sorted() {
		last, _ := stable.Lookup(end.Topic, end.Partition)
		at, _ := committed.Lookup(end.Topic, end.Partition)
		fmt.Fprintf(&text, "%s/%d: end %d, stable end %d, committed %d %s\n", end.Topic, end.Partition, end.At, last.Offset, at.At, at.Metadata)
	}
	groups, _ := c.admin.DescribeGroups(ctx, "app")
	fmt.Fprintf(&text, "group %+v\n", groups["app"])
	for _, r := range c.apps {
		fmt.Fprintf(&text, "app %s\n%s", r.State(), streams.Situation(r.App))
	}
	stacks := make([]byte, 4<<20)
	text.Write(stacks[:runtime.Stack(stacks, true)])
	return text.String()
}

// running is an App that runs.
type running struct {
	*streams.App
	t      *testing.T
	cancel context.CancelFunc
	result chan error
	once   sync.Once
	err    error
	log    *journal
}

// run starts a topology. The test waits for its end.
func (c *cluster) run(t *streams.Topology, config streams.Config) *running {
	c.t.Helper()
	return c.runAdapted(t, config, func(*engine.Options) {})
}

// runAdapted is run with other options of the engine.
func (c *cluster) runAdapted(t *streams.Topology, config streams.Config, adapt func(*engine.Options)) *running {
	c.t.Helper()
	r := &running{t: c.t, result: make(chan error, 1), log: &journal{}}
	config.Client = append(c.options(), config.Client...)
	if config.App == "" {
		config.App = "app"
	}
	if config.StateDir == "" {
		config.StateDir = c.t.TempDir()
	}
	config.CommitInterval = max(config.CommitInterval, 20*time.Millisecond)
	handler := slog.Handler(slog.NewTextHandler(r.log, nil))
	if testing.Verbose() {
		handler = slog.NewTextHandler(io.MultiWriter(r.log, os.Stderr), nil)
	}
	config.Logger = slog.New(handler)
	told := config.OnState
	config.OnState = func(state streams.State, err error) {
		r.log.state(state, err)
		if told != nil {
			told(state, err)
		}
	}
	var err error
	if r.App, err = streams.NewAdapted(t, config, adapt); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.result <- r.App.Run(ctx) }()
	c.apps = append(c.apps, r)
	c.t.Cleanup(func() { _ = r.stop() })
	return r
}

// wait returns how Run ends, by itself.
func (r *running) wait() error {
	r.t.Helper()
	r.once.Do(func() {
		deadline := time.NewTimer(patience)
		defer deadline.Stop()
		select {
		case r.err = <-r.result:
		case <-deadline.C:
			r.t.Errorf("Run does not end within %v", patience)
		}
	})
	return r.err
}

// stop ends Run.
func (r *running) stop() error {
	r.t.Helper()
	r.cancel()
	return r.wait()
}

// tasks is how many tasks run.
func (r *running) tasks() int { return streams.Tasks(r.App) }

// mustStop is stop of an App that has not failed.
func (r *running) mustStop() {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Errorf("Run returned %v", err)
	}
}

// journal is what an App has said.
type journal struct {
	mu     sync.Mutex
	text   strings.Builder
	states []streams.State
	events []error
}

func (j *journal) Write(data []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(data)
}

func (j *journal) state(state streams.State, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.states = append(j.states, state)
	if err != nil {
		j.events = append(j.events, err)
	}
}

// has reports whether the App was told to be in a state.
func (j *journal) has(state streams.State) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Contains(j.states, state)
}

// says reports whether the log, or an event, contains text.
func (j *journal) says(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), text) ||
		slices.ContainsFunc(j.events, func(err error) bool { return strings.Contains(err.Error(), text) })
}

// Topics and stores of the word count.
var (
	lines     = streams.NewTopic("lines", serde.String, serde.String)
	words     = streams.NewTopic("words", serde.String, serde.String)
	counts    = streams.NewTopic("counts", serde.String, serde.Int64)
	wordStore = state.NewKV("word-counts", serde.String, serde.Int64)
)

// counting counts words, and writes each new count to "counts". before is called for each word.
func counting(before func(word string)) *streams.Topology {
	t := streams.NewTopology()
	each := streams.FlatMap(streams.From(t, lines), func(_, line string) iter.Seq2[string, string] {
		return func(yield func(string, string) bool) {
			for word := range strings.FieldsSeq(line) {
				if !yield(word, "") {
					return
				}
			}
		}
	})
	streams.Process(each.Repartition(words), "count", func() streams.Processor[string, string, string, int64] {
		return &counter{before: before}
	}, streams.ProcessOptions{Stores: []state.Store{wordStore}}).To(counts)
	return t
}

// counter is the processor of counting.
type counter struct {
	before func(word string)
	store  *state.KVStore[string, int64]
}

func (c *counter) Init(ctx *streams.Context[string, int64]) (err error) {
	c.store, err = streams.KVStore(ctx, wordStore)
	return err
}

func (c *counter) Process(ctx *streams.Context[string, int64], r streams.Record[string, string]) error {
	if c.before != nil {
		c.before(r.Key)
	}
	entry, err := c.store.Edit(r.Key)
	if err != nil {
		return err
	}
	entry.Set(entry.Value+1, r.Timestamp.UnixMilli())
	return ctx.Forward(streams.Record[string, int64]{Key: r.Key, Value: entry.Value})
}

// wordTopics creates the topics that a word count needs.
func (c *cluster) wordTopics(partitions int) {
	c.topic("lines", partitions)
	c.topic("counts", partitions)
}
