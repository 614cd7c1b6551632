package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/broker"
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
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, settings: broker.Options{
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
		Config: map[string]string{"group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false"},
	}}
	if peer := os.Getenv("MILLRACE_TEST_BROKERS"); peer != "" { // the same promises, of another broker
		c.settings.Listen = peer
	} else {
		c.start()
		c.settings.Listen = c.broker.Addr().String()
		t.Cleanup(func() { c.broker.Close() })
	}
	client, err := kgo.NewClient(c.seeds()...)
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

// restart kills the broker and starts it again.
func (c *cluster) restart() {
	c.t.Helper()
	if c.broker == nil {
		c.t.Skip("the broker is not this test's to restart")
	}
	c.broker.Close()
	c.start()
}

func (c *cluster) seeds(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(c.settings.Listen), kgo.AlwaysRetryEOF(), kgo.MetadataMinAge(50 * time.Millisecond)}, more...)
}

// topic creates a topic whose name no other test has.
func (c *cluster) topic(name string, partitions int32) string {
	c.t.Helper()
	name = fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
	if _, err := c.admin.CreateTopic(c.t.Context(), partitions, 1, nil, name); err != nil {
		c.t.Fatal(err)
	}
	return name
}

// produce writes values "0" to "n-1", round robin over the partitions.
func (c *cluster) produce(topic string, partitions int32, from, to int) {
	c.t.Helper()
	client, err := kgo.NewClient(c.seeds(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Partition: int32(i) % partitions, Value: fmt.Append(nil, i)})
	}
	if err := client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// committedValues reads until there are n values in topic that are committed, and returns all that there are then.
func (c *cluster) values(topic string, n int) []string {
	c.t.Helper()
	client, err := kgo.NewClient(c.seeds(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	var values []string
	for len(values) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			c.t.Fatalf("only %d of %d values within %v", len(values), n, patience)
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// exactlyOnce fails the test unless values are "0" to "n-1", each once.
func exactlyOnce(t *testing.T, values []string, n int) {
	t.Helper()
	counts := map[string]int{}
	for _, v := range values {
		counts[v]++
	}
	var wrong []string
	for i := range n {
		if v := fmt.Sprint(i); counts[v] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s: %d", v, counts[v]))
		}
	}
	if len(wrong) > 0 || len(values) != n {
		slices.Sort(wrong)
		t.Fatalf("%d values, want %d; %d not there once: %v", len(values), n, len(wrong), wrong[:min(10, len(wrong))])
	}
}

// lag returns how many offsets of topic the group has not committed.
func (c *cluster) lag(group, topic string) (total int64) {
	c.t.Helper()
	starts, err := c.admin.ListStartOffsets(c.t.Context(), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	ends, err := c.admin.ListCommittedOffsets(c.t.Context(), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	committed, err := c.admin.FetchOffsets(kadm.RequireStable(c.t.Context()), group)
	if err != nil {
		c.t.Fatal(err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		from, _ := starts.Lookup(topic, end.Partition)
		at := from.Offset
		if offset, ok := committed.Lookup(topic, end.Partition); ok {
			at = offset.At
		}
		total += end.Offset - at
	})
	return total
}

// eventually waits until a condition is met.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// deleteTo says that partition 0 is to begin at offset.
func deleteTo(topic string, offset int64) kadm.Offsets {
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, offset, -1)
	return offsets
}
