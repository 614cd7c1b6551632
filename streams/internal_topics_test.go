package streams_test

import (
	"bytes"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

// perHour counts the lines of each hour behind a repartition topic, in windows that are kept for so long.
func perHour(kept time.Duration) *streams.Topology {
	t := streams.NewTopology()
	keyed := streams.Map(streams.From(t, lines), func(_, line string) (string, string) { return line, line })
	store := state.NewWindow("per-hour", serde.String, serde.Int64).WithRetention(kept)
	counted := keyed.Repartition(words).GroupByKey().Window(windows.Tumbling(time.Hour)).Count(store)
	streams.WindowsToStream(counted).To(streams.NewTopic("counts", serde.Windowed(serde.String), serde.Int64))
	return t
}

// settingsOf returns some settings of a topic.
func (c *cluster) settingsOf(topic string, keys ...string) map[string]string {
	c.t.Helper()
	described, err := c.admin.DescribeTopicConfigs(c.t.Context(), topic)
	if err != nil {
		c.t.Fatal(err)
	}
	found := map[string]string{}
	for _, config := range described[0].Configs {
		for _, key := range keys {
			if config.Key == key {
				found[key] = config.MaybeValue()
			}
		}
	}
	return found
}

// TestInternalTopicsKeepWhatIsNeeded has internal topics with settings of others, or of earlier versions, that would lose records. What
// keeps more than is needed stays, and what cannot be changed is said.
func TestInternalTopicsKeepWhatIsNeeded(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	const changelog, repartition = "app-per-hour-changelog", "app-words-repartition"
	for name, settings := range map[string]map[string]string{
		changelog:   {"cleanup.policy": "delete", "retention.ms": "1000", "retention.bytes": "1000"},
		repartition: {"cleanup.policy": "compact", "retention.ms": "1000", "message.timestamp.type": "LogAppendTime"},
	} {
		configs := map[string]*string{}
		for key, value := range settings {
			configs[key] = kadm.StringPtr(value)
		}
		if _, err := c.admin.CreateTopic(t.Context(), 1, 1, configs, name); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(topic string, want map[string]string) {
		t.Helper()
		var keys []string
		for key := range want {
			keys = append(keys, key)
		}
		if found := c.settingsOf(topic, keys...); !maps.Equal(found, want) {
			t.Errorf("%s has %v, want %v", topic, found, want)
		}
	}
	const day = 24 * time.Hour
	c.run(perHour(3*day), streams.Config{}).awaitRunning().mustStop()
	expect(repartition, map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "message.timestamp.type": "CreateTime"})
	expect(changelog, map[string]string{"cleanup.policy": "compact,delete", "retention.ms": "345600000", "retention.bytes": "-1"})

	c.run(perHour(9*day), streams.Config{}).awaitRunning().mustStop()
	expect(changelog, map[string]string{"retention.ms": "864000000"})
	app := c.run(perHour(3*day), streams.Config{}).awaitRunning()
	app.mustStop()
	expect(changelog, map[string]string{"retention.ms": "864000000"})
	if app.log.says("settings of an internal topic") {
		t.Error("something was changed that keeps more than is needed")
	}

	for _, more := range []map[string]string{{"retention.ms": "-1"}, {"cleanup.policy": "compact"}} {
		for key, value := range more {
			c.configure(changelog, key, value)
		}
		c.run(perHour(3*day), streams.Config{}).awaitRunning().mustStop()
		expect(changelog, more)
	}

	c.configure(changelog, "cleanup.policy", "compact,delete")
	c.configure(changelog, "retention.ms", "1000")
	net := newNetwork(fault{})
	net.lose(kmsg.IncrementalAlterConfigs)
	app = c.run(perHour(3*day), streams.Config{Client: []kgo.Opt{net.option(), kgo.RequestRetries(0)}}).awaitRunning()
	app.mustStop()
	if !app.log.says("cannot be changed") || !app.log.says("retention.ms=345600000") {
		t.Error("nobody was told of a setting that cannot be changed")
	}
}

// TestOldEventsOutliveRetention has windows of a year ago, whose changelog would go at once by their times, and loses the disk when
// the broker has deleted what is that old. At least once, since the markers of transactions have a time too, which is that of the clock.
func TestOldEventsOutliveRetention(t *testing.T) {
	c := newCluster(t)
	c.broker.Close()
	c.settings.Config["log.retention.check.interval.ms"] = "50"
	c.start()
	c.wordTopics(1)
	old := time.Now().Add(-365 * 24 * time.Hour).Truncate(time.Hour)
	count := func(line string, minute int, want int64) {
		t.Helper()
		c.send(&kgo.Record{Topic: "lines", Value: []byte(line), Timestamp: old.Add(time.Duration(minute) * time.Minute)})
		c.eventually("a count", func() bool {
			all := c.read("counts")
			if len(all) == 0 || !bytes.HasPrefix(all[len(all)-1].Key, []byte(line)) {
				return false
			}
			n, err := serde.Int64.Decode(all[len(all)-1].Value)
			return err == nil && n == want
		})
	}
	first := c.run(perHour(0), streams.Config{Guarantee: streams.AtLeastOnce})
	count("line", 1, 1)
	count("other", 2, 1)
	count("line", 3, 2)
	first.mustStop()
	for range 2 { // the second begins when a round of deletions is through
		c.deletesOld(old)
	}
	next := c.run(perHour(0), streams.Config{Guarantee: streams.AtLeastOnce}) // on another disk
	count("line", 4, 3)
	count("other", 5, 2)
	next.mustStop()
}

// deletesOld waits until the broker has deleted a record because of its time.
func (c *cluster) deletesOld(at time.Time) {
	c.t.Helper()
	topic := fmt.Sprint("old-", time.Now().UnixNano())
	configs := map[string]*string{"retention.ms": kadm.StringPtr("90000000"), "cleanup.policy": kadm.StringPtr("compact,delete")}
	if _, err := c.admin.CreateTopic(c.t.Context(), 1, 1, configs, topic); err != nil {
		c.t.Fatal(err)
	}
	c.send(&kgo.Record{Topic: topic, Key: []byte("key"), Timestamp: at})
	c.eventually("old records are deleted", func() bool {
		starts, err := c.admin.ListStartOffsets(c.t.Context(), topic)
		if err != nil {
			c.t.Fatal(err)
		}
		start, _ := starts.Lookup(topic, 0)
		return start.Offset > 0
	})
}
