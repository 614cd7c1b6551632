package streams_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

var (
	sizes = streams.NewTopic("sizes", serde.String, serde.String)
	large = streams.NewTopic("large", serde.String, serde.String)
)

// enlarging writes for each number a value of so many bytes.
func enlarging(policy streams.Policy) *streams.Topology {
	topology := streams.NewTopology()
	streams.MapValues(streams.From(topology, sizes), enlarged).To(large, streams.OnProduceError(policy))
	return topology
}

func enlarged(size string) string {
	n, _ := strconv.Atoi(size)
	return strings.Repeat("x", n)
}

func (c *cluster) sendSizes(sizes ...int) {
	c.t.Helper()
	for _, size := range sizes {
		c.send(&kgo.Record{Topic: "sizes", Key: []byte("k"), Value: fmt.Append(nil, size)})
	}
}

// topicTaking creates a topic of one partition with a limit for its batches.
func (c *cluster) topicTaking(name string, bytes int) {
	c.t.Helper()
	configs := map[string]*string{"max.message.bytes": kadm.StringPtr(strconv.Itoa(bytes))}
	if _, err := c.admin.CreateTopic(c.t.Context(), 1, 1, configs, name); err != nil {
		c.t.Fatal(err)
	}
}

// TestTopicsThatAreOnlyWrittenHaveToBeThere: otherwise the first result, or the first failure, would find out.
func TestTopicsThatAreOnlyWrittenHaveToBeThere(t *testing.T) {
	c := newCluster(t)
	c.topic("sizes", 1)
	c.fails(enlarging(streams.DeadLetter("dead")), streams.Config{},
		"node large: no topic large for its records: create it first", "node large: no topic dead for its dead letters: create it first")
	c.topic("large", 1)
	c.fails(enlarging(streams.DeadLetter("dead")), streams.Config{}, "no topic dead")
	c.topic("dead", 1)
	c.run(enlarging(streams.DeadLetter("dead")), streams.Config{}).awaitRunning().mustStop()
}

// TestTopicsThatTheBrokerCreatesNeedNotBeThere: whoever asks for that in the client's options gets it.
func TestTopicsThatTheBrokerCreatesNeedNotBeThere(t *testing.T) {
	c := newCluster(t)
	if err := c.broker.Close(); err != nil {
		t.Fatal(err)
	}
	c.settings.Config["auto.create.topics.enable"] = "true"
	c.start()
	c.topic("sizes", 1)
	c.sendSizes(3)
	app := c.run(enlarging(streams.Fail), streams.Config{Client: []kgo.Opt{kgo.AllowAutoTopicCreation()}})
	c.eventually("the topic has the record", func() bool {
		topics, err := c.admin.ListTopics(t.Context())
		return err == nil && topics.Has("large") && len(c.read("large")) == 1
	})
	app.mustStop()
}

// TestRecordsAreAsLargeAsTheirTopicTakes goes by what the topic says, be it more or less than what clients send by themselves. What is
// larger meets the node's policy.
func TestRecordsAreAsLargeAsTheirTopicTakes(t *testing.T) {
	for name, limit := range map[string]struct{ bytes, fits, exceeds int }{
		"2 MB":  {2 << 20, 1_500_000, 2_200_000},
		"10 KB": {10 << 10, 9_000, 10_300},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.topic("sizes", 1)
			c.topic("dead", 1)
			c.topicTaking("large", limit.bytes)
			c.sendSizes(limit.fits, limit.exceeds)
			config := streams.Config{Client: []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}}

			err := c.run(enlarging(streams.Fail), config).wait()
			var where *engine.NodeError
			if !errors.As(err, &where) || where.Node != "large" || where.Offset != 1 || !errors.Is(err, kerr.MessageTooLarge) {
				t.Fatalf("Run returned %v", err)
			}
			app := c.run(enlarging(streams.DeadLetter("dead")), config)
			c.eventually("the second becomes a dead letter", func() bool { return len(c.read("dead")) == 1 })
			app.mustStop()
			app = c.run(enlarging(streams.Skip), config)
			c.sendSizes(limit.exceeds)
			small := make([]int, 100) // one batch of them all would be too large for the smaller topic
			for i := range small {
				small[i] = 1000
			}
			c.sendSizes(small...)
			c.eventually("the others are there", func() bool { return len(c.read("large")) == 101 })
			app.mustStop()
			if first := c.read("large")[0]; len(first.Value) != limit.fits {
				t.Errorf("the first has %d bytes, want %d", len(first.Value), limit.fits)
			}
			if letters := c.read("dead"); len(letters) != 1 || string(letters[0].Value) != strconv.Itoa(limit.exceeds) {
				t.Errorf("%d dead letters", len(letters))
			}
		})
	}
}

// TestALimitThatTheClientHasHoldsForAllTopics: who chooses one means it.
func TestALimitThatTheClientHasHoldsForAllTopics(t *testing.T) {
	c := newCluster(t)
	c.topic("sizes", 1)
	c.topicTaking("large", 2<<20)
	c.sendSizes(4000, 6000)
	config := streams.Config{Client: []kgo.Opt{kgo.ProducerBatchMaxBytes(5000)}}
	if err := c.run(enlarging(streams.Fail), config).wait(); !errors.Is(err, kerr.MessageTooLarge) || !strings.Contains(err.Error(), "of at most 5000") {
		t.Errorf("Run returned %v", err)
	}
}

// TestValuesOfStoresAreAsLargeAsTheChangelogTakes makes the changelog before the application does.
func TestValuesOfStoresAreAsLargeAsTheChangelogTakes(t *testing.T) {
	kept := state.NewKV("kept", serde.String, serde.String)
	topology := streams.NewTopology()
	streams.Aggregate(streams.From(topology, sizes).GroupByKey(), kept, func() string { return "" },
		func(_, size, _ string) string { return enlarged(size) })
	c := newCluster(t)
	c.topic("sizes", 1)
	c.topicTaking("app-kept-changelog", 2<<20)
	c.sendSizes(1_500_000)
	app := c.run(topology, streams.Config{})
	c.eventually("the value is in the changelog", func() bool {
		changes := c.read("app-kept-changelog")
		return len(changes) == 1 && len(changes[0].Value) == 1_500_000
	})
	c.sendSizes(2_200_000)
	if err := app.wait(); err == nil || !strings.Contains(err.Error(), "a record of changelog app-kept-changelog has at most 2097152") {
		t.Errorf("Run returned %v", err)
	}
}
