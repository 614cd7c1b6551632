package streams_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

// Whatever is wrong with a configuration is said at once, all of it.
func TestConfigurationsAreChecked(t *testing.T) {
	good := streams.Config{App: "app", Brokers: []string{"localhost:9092"}}
	if _, err := streams.New(counting(nil), good); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(*streams.Config){
		"Config.App is empty":               func(c *streams.Config) { c.App = "" },
		`Config.App is "a/b"`:               func(c *streams.Config) { c.App = "a/b" },
		"Config.Brokers is empty":           func(c *streams.Config) { c.Brokers = nil },
		"Config.Brokers has an empty":       func(c *streams.Config) { c.Brokers = []string{""} },
		"Config.Guarantee is 7":             func(c *streams.Config) { c.Guarantee = 7 },
		"Config.OnLostOffsets is 7":         func(c *streams.Config) { c.OnLostOffsets = 7 },
		"Config.CommitInterval is -1s":      func(c *streams.Config) { c.CommitInterval = -time.Second },
		"Config.CommitInterval is 1µs":      func(c *streams.Config) { c.CommitInterval = time.Microsecond },
		"Config.CommitInterval is 1h":       func(c *streams.Config) { c.CommitInterval = time.Hour },
		"Config.ProcessTimeout is -1s":      func(c *streams.Config) { c.ProcessTimeout = -time.Second },
		"Config.ProcessTimeout is 1h":       func(c *streams.Config) { c.ProcessTimeout = time.Hour },
		"Config.CacheBytes is -1":           func(c *streams.Config) { c.CacheBytes = -1 },
		"Config.MaxUncommittedBytes is -1":  func(c *streams.Config) { c.MaxUncommittedBytes = -1 },
		"Config.ReplicationFactor is -1":    func(c *streams.Config) { c.ReplicationFactor = -1 },
		"topology: the topology reads no":   nil,
		"Config.App is empty: name the app": func(c *streams.Config) { c.App, c.CacheBytes = "", -1 },
	} {
		bad, topology := good, counting(nil)
		if spoil == nil {
			topology = streams.NewTopology()
		} else {
			spoil(&bad)
		}
		if _, err := streams.New(topology, bad); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// fails runs a topology that is to fail, and returns the error.
func (c *cluster) fails(t *streams.Topology, config streams.Config, want ...string) {
	c.t.Helper()
	err := c.run(t, config).wait()
	for _, text := range want {
		if err == nil || !strings.Contains(err.Error(), text) {
			c.t.Errorf("Run returned %v, want %q", err, text)
		}
	}
}

func TestTopicsThatAreMissingAreNamed(t *testing.T) {
	c := newCluster(t)
	c.fails(counting(nil), streams.Config{}, "no topic lines", "create it first")
}

// A partition count that is another one than last time is refused: keys are not where their state is.
func TestOtherPartitionCountsThanLastTime(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(2)
	c.run(plain(), streams.Config{}).awaitRunning().mustStop()
	if _, err := c.admin.CreatePartitions(t.Context(), 1, "lines"); err != nil {
		t.Fatal(err)
	}
	c.fails(plain(), streams.Config{}, "lines", "2", "3")
}

// plain counts the keys of "lines", without a repartition topic between.
func plain() *streams.Topology {
	t := streams.NewTopology()
	streams.Process(streams.From(t, lines), "count", func() streams.Processor[string, string, string, int64] {
		return &counter{}
	}, streams.ProcessOptions{Stores: []state.Store{wordStore}}).To(counts)
	return t
}

func (r *running) awaitRunning() *running {
	r.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for r.State() != streams.Running {
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("state %v", r.State())
		}
	}
	return r
}

func TestTopicsThatMeetInAStoreNeedTheSamePartitionCount(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(2)
	c.topic("more-lines", 3)
	topology := streams.NewTopology()
	more := streams.NewTopic("more-lines", serde.String, serde.String)
	streams.Process(streams.From(topology, lines).Merge(streams.From(topology, more)), "count", func() streams.Processor[string, string, string, int64] {
		return &counter{}
	}, streams.ProcessOptions{Stores: []state.Store{wordStore}}).To(counts)
	c.fails(topology, streams.Config{}, "lines", "more-lines", "2", "3", "repartition one of them")
}

// A changelog with another partition count than its store has tasks is not the store's.
func TestAChangelogWithOtherPartitions(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(2)
	c.topic("app-word-counts-changelog", 5)
	c.fails(plain(), streams.Config{}, "app-word-counts-changelog has 5 partitions and needs 2", "reset")
}

// Internal topics are what they have to be, also when several processes create them at the same time.
func TestProcessesThatStartTogetherShareTheWork(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(4)
	var apps []*running
	for range 4 {
		apps = append(apps, c.run(counting(nil), streams.Config{}))
	}
	c.sendWords(4, 7, 0, 200)
	c.awaitCounts(7, 200)
	c.eventually("each has tasks", func() bool {
		for _, app := range apps {
			if app.State() != streams.Running || app.tasks() != 2 {
				return false
			}
		}
		return true
	})
	c.sendWords(4, 7, 200, 300)
	c.awaitCounts(7, 300)
	for _, app := range apps {
		app.mustStop()
	}
	for topic, want := range map[string]map[string]string{
		"app-word-counts-changelog": {"cleanup.policy": "compact"},
		"app-words-repartition":     {"cleanup.policy": "delete", "retention.ms": "-1"},
	} {
		configs, err := c.admin.DescribeTopicConfigs(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, config := range configs[0].Configs {
			if value, checked := want[config.Key]; checked && *config.Value != value {
				t.Errorf("%s: %s is %s, want %s", topic, config.Key, *config.Value, value)
			}
		}
	}
}

// What is processed of a repartition topic is deleted.
func TestRepartitionTopicsStaySmall(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	app := c.runAdapted(counting(nil), streams.Config{}, func(o *engine.Options) { o.PurgeEvery = 50 * time.Millisecond })
	c.sendWords(1, 7, 0, 100)
	c.awaitCounts(7, 100)
	c.eventually("they are deleted", func() bool {
		starts, err := c.admin.ListStartOffsets(t.Context(), "app-words-repartition")
		if err != nil {
			t.Fatal(err)
		}
		start, _ := starts.Lookup("app-words-repartition", 0)
		return start.Offset >= 100
	})
	c.sendWords(1, 7, 100, 150)
	c.awaitCounts(7, 150)
	app.mustStop()
}

// A process that starts again after a crash has its tasks at once, not after the session of its predecessor.
func TestAProcessThatStartsAgainWaitsForNoSession(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	net := newNetwork(fault{})
	dir := t.TempDir()
	session := kgo.SessionTimeout(5 * time.Minute)
	first := c.run(counting(nil), streams.Config{StateDir: dir, ProcessTimeout: 100 * time.Millisecond, Client: []kgo.Opt{net.option(), session}})
	c.sendWords(1, 7, 0, 70)
	c.awaitCounts(7, 70)
	net.takeDown()
	image := c.image(dir)
	_ = first.stop()
	next := c.run(counting(nil), streams.Config{StateDir: image, Client: []kgo.Opt{session}})
	c.sendWords(1, 7, 70, 140)
	c.awaitCounts(7, 140)
	next.mustStop()
}

// A function that never returns ends Run with an error that names the record, and others go on with it.
func TestABlockedFunctionIsLeftBehind(t *testing.T) {
	for name, guarantee := range map[string]streams.Guarantee{"exactly once": streams.ExactlyOnce, "at least once": streams.AtLeastOnce} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			c.wordTopics(1)
			goOn := make(chan struct{})
			defer close(goOn)
			block := func(word string) {
				if word == "word-5" {
					<-goOn
				}
			}
			c.sendWords(1, 7, 0, 70)
			app := c.run(counting(block), streams.Config{Guarantee: guarantee, ProcessTimeout: 50 * time.Millisecond})
			err := app.wait()
			var blocked *engine.BlockedError
			if !errors.As(err, &blocked) || !errors.Is(err, consumer.ErrStuck) {
				t.Fatalf("Run returned %v", err)
			}
			for _, text := range []string{"node count", "app-words-repartition-0", "offset", "TestABlockedFunction", "ProcessTimeout"} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
			if !app.log.says("takes too long") {
				t.Error("there was no warning")
			}
			next := c.run(counting(nil), streams.Config{Guarantee: guarantee})
			if guarantee == streams.ExactlyOnce {
				c.awaitCounts(7, 70)
			} else { // what was counted before the block was not committed
				c.awaitCountsAtLeast(7, 70)
			}
			next.mustStop()
		})
	}
}

// A panic is an error that names node and record; nothing of the record is committed.
func TestAPanicNamesTheRecord(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	c.sendWords(1, 7, 0, 70)
	dir := t.TempDir()
	c.fails(counting(func(word string) {
		if word == "word-5" {
			panic("boom")
		}
	}), streams.Config{StateDir: dir}, "node count", "app-words-repartition", "boom")
	next := c.run(counting(nil), streams.Config{StateDir: dir})
	c.awaitCounts(7, 70)
	next.mustStop()
}

// What is slow holds up commits for one record at a time, and is not undone.
func TestSlowFunctionsAreNotInterrupted(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	var calls atomic.Int64
	slow := func(string) {
		calls.Add(1)
		timer := time.NewTimer(5 * time.Millisecond)
		defer timer.Stop()
		<-timer.C
	}
	app := c.run(counting(slow), streams.Config{ProcessTimeout: time.Minute, CommitInterval: 20 * time.Millisecond})
	c.sendWords(1, 7, 0, 200)
	c.eventually("a commit in the middle", func() bool { n := len(c.read("counts")); return n > 0 && n < 200 })
	c.awaitCounts(7, 200)
	app.mustStop()
	if n := calls.Load(); n != 200 {
		t.Errorf("%d calls for 200 records", n)
	}
}

// Topics that are read from their end begin there, and go on where they were.
func TestFromTheEnd(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	topology := func() *streams.Topology {
		t := streams.NewTopology()
		streams.MapValues(streams.From(t, lines, streams.FromEnd()), func(line string) int64 { return int64(len(line)) }).To(counts)
		return t
	}
	c.sendWords(1, 7, 0, 50)
	app := c.run(topology(), streams.Config{}).awaitRunning()
	c.eventually("an origin", func() bool { return app.tasks() == 1 })
	c.sendWords(1, 7, 50, 70)
	c.eventually("what came later", func() bool { return len(c.read("counts")) >= 20 })
	app.mustStop()
	c.sendWords(1, 7, 70, 80)
	app = c.run(topology(), streams.Config{})
	c.eventually("what came meanwhile", func() bool { return len(c.read("counts")) >= 30 })
	app.mustStop()
	if n := len(c.read("counts")); n != 30 {
		t.Errorf("%d results of 30 records", n)
	}
}

// A partition that is added begins at its end; the others go on where they were.
func TestFromTheEndIsForPartitionsOfWhichNothingIsCommitted(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	topology := streams.NewTopology()
	streams.MapValues(streams.From(topology, lines, streams.FromEnd()), func(line string) int64 { return int64(len(line)) }).To(counts)
	c.sendWords(1, 7, 0, 10)
	app := c.run(topology, streams.Config{}).awaitRunning()
	c.eventually("an origin", func() bool { return app.tasks() == 1 })
	app.mustStop()
	if _, err := c.admin.CreatePartitions(t.Context(), 1, "lines"); err != nil {
		t.Fatal(err)
	}
	c.client.PurgeTopicsFromProducing("lines") // it has to learn of the partition
	c.sendWords(2, 7, 0, 10)                   // five are new to the old partition, five are before the end of the new one
	app = c.run(topology, streams.Config{})
	c.eventually("both partitions", func() bool { return app.tasks() == 2 })
	c.sendWords(2, 7, 10, 14)
	c.eventually("what is to be read", func() bool { return len(c.read("counts")) >= 9 })
	app.mustStop()
	if n := len(c.read("counts")); n != 9 {
		t.Errorf("%d results of 9 records", n)
	}
}

// Run ends when it is asked to, whatever it waits for, and only once.
func TestRunEndsWhileBrokersAreAway(t *testing.T) {
	app, err := streams.New(counting(nil), streams.Config{App: "app", Brokers: []string{"127.0.0.1:1"}, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := app.Run(t.Context()); err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for app.State() != streams.Unreachable {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("state %v", app.State())
		}
	}
	app.Close()
	ended.Wait()
	if err := app.Run(t.Context()); err == nil || app.State() != streams.Stopped {
		t.Errorf("Run runs twice: %v, %v", err, app.State())
	}
}

// The partition that a record names is where it goes; one that names none goes where Kafka's producers would send it.
func TestRecordsGoWhereTheySay(t *testing.T) {
	to := engine.Partitioner().ForTopic("t")
	byKey := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for i := range 100 {
		key := fmt.Appendf(nil, "key-%d", i)
		if got := to.Partition(&kgo.Record{Key: key, Partition: int32(i % 7)}, 7); got != i%7 {
			t.Errorf("partition %d, not %d", got, i%7)
		}
		if got, want := to.Partition(&kgo.Record{Key: key, Partition: -1}, 7), byKey.Partition(&kgo.Record{Key: key}, 7); got != want {
			t.Errorf("key %s: partition %d, not %d", key, got, want)
		}
	}
	if !to.RequiresConsistency(&kgo.Record{Partition: 3}) || to.RequiresConsistency(&kgo.Record{Partition: -1}) {
		t.Error("a record that names its partition may go elsewhere, or one without a key may not")
	}
}
