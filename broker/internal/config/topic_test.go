package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The strongest name wins, in its own unit, and a negative time is no limit in each.
func TestTopicTimesComeFromTheStrongestSynonym(t *testing.T) {
	for _, c := range []struct {
		broker, topic map[string]string
		retentionMs   int64
		segmentMs     int64
	}{
		{nil, nil, 604800000, 604800000},
		{map[string]string{"log.retention.hours": "2", "log.roll.hours": "3"}, nil, 7200000, 10800000},
		{map[string]string{"log.retention.hours": "2", "log.retention.minutes": "5"}, nil, 300000, 604800000},
		{map[string]string{"log.retention.hours": "2", "log.retention.minutes": "5", "log.retention.ms": "9"}, nil, 9, 604800000},
		{map[string]string{"log.retention.hours": "-1"}, nil, -1, 604800000},
		{map[string]string{"log.retention.ms": "-1", "log.roll.ms": "11", "log.roll.hours": "1"}, nil, -1, 11},
		{map[string]string{"log.retention.ms": "9"}, map[string]string{"retention.ms": "10", "segment.ms": "12"}, 10, 12},
		{map[string]string{"log.retention.hours": "2147483647"}, nil, 2147483647 * 3600000, 604800000},
	} {
		topic, err := mustParse(t, c.broker).Topic(c.topic)
		if err != nil {
			t.Errorf("%v %v: %v", c.broker, c.topic, err)
		} else if topic.RetentionMs != c.retentionMs || topic.SegmentMs != c.segmentMs {
			t.Errorf("%v %v: retention %d, roll %d", c.broker, c.topic, topic.RetentionMs, topic.SegmentMs)
		}
	}
}

func TestTopicTakesTheBrokersSettings(t *testing.T) {
	b := mustParse(t, map[string]string{
		"message.max.bytes": "5000", "compression.type": "zstd", "millrace.flush": "os", "log.cleanup.policy": "compact, delete",
		"log.flush.scheduler.interval.ms": "70", "log.preallocate": "TRUE",
	})
	topic, err := b.Topic(map[string]string{"compression.type": "lz4"})
	if err != nil {
		t.Fatal(err)
	}
	if topic.MaxMessageBytes != 5000 || topic.CompressionType != "lz4" || topic.Flush != FlushOS || topic.FlushMs != 70 ||
		!topic.Compacts() || !topic.Deletes() || !topic.Preallocate {
		t.Errorf("got %+v", topic)
	}
}

func TestTopicRefusesWhatIsWrong(t *testing.T) {
	b := mustParse(t, nil)
	for _, c := range []struct {
		overrides map[string]string
		want      string
	}{
		{map[string]string{"retention.sm": "1"}, `unknown topic config "retention.sm"; did you mean "retention.ms"?`},
		{map[string]string{"message.format.version": "2.0"}, "unknown topic config"},
		{map[string]string{"retention.ms": "-2"}, "retention.ms"},
		{map[string]string{"cleanup.policy": "none"}, "cleanup.policy"},
		{map[string]string{"segment.bytes": "13"}, "at least 14"},
		{map[string]string{"remote.storage.enable": "true"}, "only false"},
		{map[string]string{"min.compaction.lag.ms": "5", "max.compaction.lag.ms": "4"}, "min.compaction.lag.ms"},
	} {
		if _, err := b.Topic(c.overrides); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.overrides, err, c.want)
		}
	}
}

func TestDescribeTopicNamesEverySource(t *testing.T) {
	b := mustParse(t, map[string]string{"log.retention.hours": "2", "log.retention.minutes": "05"})
	descriptions := b.DescribeTopic(map[string]string{"retention.ms": "1000", "min.insync.replicas": "01"})
	if len(descriptions) != len(topicTable) {
		t.Fatalf("%d descriptions, the table has %d rows", len(descriptions), len(topicTable))
	}
	got := map[string]string{}
	for _, d := range descriptions {
		text := fmt.Sprintf("%s from %d:", *d.Value, d.Source)
		for _, v := range d.Values {
			text += fmt.Sprintf(" %s=%s/%d", v.Name, v.Value, v.Source)
		}
		got[d.Name] = text
	}
	for name, want := range map[string]string{
		"retention.ms":          "1000 from 1: retention.ms=1000/1 log.retention.minutes=5/4 log.retention.hours=2/4 log.retention.hours=168/5",
		"segment.ms":            "604800000 from 5: log.roll.hours=168/5",
		"min.insync.replicas":   "1 from 1: min.insync.replicas=1/1 min.insync.replicas=1/5",
		"remote.storage.enable": "false from 5:",
		"cleanup.policy":        "delete from 5: log.cleanup.policy=delete/5",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	descriptions = b.DescribeTopic(nil)
	i := slices.IndexFunc(descriptions, func(d Description) bool { return d.Name == "retention.ms" })
	if d := descriptions[i]; *d.Value != "300000" || d.Source != SourceStaticBroker {
		t.Errorf("retention.ms without override: %s from %d", *d.Value, d.Source)
	}
}

func TestDescribeBrokerNamesEverySource(t *testing.T) {
	b := mustParse(t, map[string]string{"broker.id": "7", "num.partitions": "3"})
	got := map[string]Description{}
	for _, d := range b.Describe() {
		got[d.Name] = d
	}
	if d := got["log.retention.ms"]; d.Value != nil || d.Source != SourceDefault || len(d.Values) != 0 {
		t.Errorf("log.retention.ms: %+v", d)
	}
	if d := got["node.id"]; *d.Value != "7" || d.Source != SourceStaticBroker || d.Values[0].Name != "broker.id" {
		t.Errorf("node.id: %+v", d)
	}
	if d := got["num.partitions"]; *d.Value != "3" || d.Source != SourceStaticBroker || d.Values[1].Value != "1" {
		t.Errorf("num.partitions: %+v", d)
	}
}

func TestAppendAndSubtractStartFromTheValueInForce(t *testing.T) {
	b := mustParse(t, nil)
	policy := TopicSetting("cleanup.policy")
	for _, c := range []struct{ got, want string }{
		{b.Append(policy, nil, "compact"), "delete,compact"},
		{b.Append(policy, nil, "delete"), "delete"},
		{b.Append(policy, map[string]string{"cleanup.policy": "compact"}, "compact,delete"), "compact,delete"},
		{b.Subtract(policy, map[string]string{"cleanup.policy": "compact,delete"}, "delete"), "compact"},
		{b.Subtract(policy, nil, "compact"), "delete"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Whatever is accepted is shown so that it is accepted again and means the same.
func TestShownValuesAreAcceptedAgain(t *testing.T) {
	b := mustParse(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		setting := &topicTable[rapid.IntRange(0, len(topicTable)-1).Draw(t, "setting")]
		text := rapid.OneOf(
			rapid.Just(setting.Default),
			rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.Int64().Draw(t, "number")) }),
			rapid.SampledFrom([]string{"TRUE", " delete , compact", "0.250", "+7", "lz4", "commit", ""}),
		).Draw(t, "text")
		before, err := b.Topic(map[string]string{setting.Name: text})
		if err != nil {
			return
		}
		after, err := b.Topic(map[string]string{setting.Name: setting.canonical(text)})
		if err != nil {
			t.Fatalf("%s: %q is shown as %q, which is refused: %v", setting.Name, text, setting.canonical(text), err)
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Fatalf("%s: %q is shown as %q, which means something else", setting.Name, text, setting.canonical(text))
		}
	})
}
