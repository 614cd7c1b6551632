package config

import (
	"slices"
	"strings"
	"testing"
)

func TestDefaultsAreKafkas(t *testing.T) {
	b := mustParse(t, nil)
	switch {
	case b.NodeId != 1, b.NumPartitions != 1, b.DefaultReplicationFactor != 1, !b.AutoCreateTopicsEnable, !b.DeleteTopicEnable:
		t.Errorf("got %+v", b)
	case b.SocketRequestMaxBytes != 100<<20, b.ConnectionsMaxIdleMs != 600000, b.FetchMaxBytes != 55<<20:
		t.Errorf("got %+v", b)
	case b.GroupMinSessionTimeoutMs != 6000, b.GroupMaxSessionTimeoutMs != 1800000, b.GroupInitialRebalanceDelayMs != 3000:
		t.Errorf("got %+v", b)
	case b.OffsetsTopicNumPartitions != 16, b.OffsetsRetentionMinutes != 10080, b.ProducerIdExpirationMs != 86400000:
		t.Errorf("got %+v", b)
	}
	topic, err := b.Topic(nil)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case topic.SegmentBytes != 1<<30, topic.SegmentMs != 7*24*3600*1000, topic.RetentionMs != 7*24*3600*1000, topic.RetentionBytes != -1:
		t.Errorf("got %+v", topic)
	case topic.Flush != FlushCommit, topic.CompressionType != "producer", topic.MaxMessageBytes != 1048588, topic.MessageTimestampAfterMaxMs != 3600000:
		t.Errorf("got %+v", topic)
	case !topic.Deletes(), topic.Compacts():
		t.Errorf("got %+v", topic)
	}
}

// Every limit on what clients can take is finite unless somebody lifts it.
func TestLimitsAreFiniteByDefault(t *testing.T) {
	b := mustParse(t, nil)
	for name, limit := range map[string]int64{
		"max.connections":          int64(b.MaxConnections),
		"max.connections.per.ip":   int64(b.MaxConnectionsPerIp),
		"connections.max.idle.ms":  b.ConnectionsMaxIdleMs,
		"queued.max.request.bytes": b.QueuedMaxRequestBytes,
		"group.max.size":           int64(b.GroupMaxSize),
	} {
		if limit <= 0 || limit >= maxInt {
			t.Errorf("%s is %d", name, limit)
		}
	}
}

func TestParseRefusesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        []string // in the error
	}{
		{"num.partitons", "3", []string{`"num.partitons"`, `did you mean "num.partitions"`}},
		{"log.cleanup.policy", strings.Repeat("compact,", 5000), []string{"log.cleanup.policy", "at most 32767"}},
		{"retention.ms", "1", []string{`did you mean "log.retention.ms"`}},
		{"granularity", "topic", []string{`did you mean "millrace.metrics.granularity"`}},
		{"flussh", "os", []string{`did you mean "millrace.flush"`}},
		{"num.network.thread", "3", []string{`did you mean "num.network.threads"`}},
		{"quota.window.nun", "3", []string{`did you mean "quota.window.num"`}}, // of a family without a use otherwise
		{"metadata.log.max.record.bytes.between.snapshot", "1", []string{`did you mean "metadata.log.max.record.bytes.between.snapshots"`}},
		{"flush", "never", []string{"commit, interval, os"}},
		{"LOG.SEGMENT.BYTE", "1", []string{`did you mean "log.segment.bytes"`}},
		{"entirely.something.else", "1", []string{"unknown setting"}},
		{"num.partitions", "many", []string{"num.partitions", `"many"`, "whole number"}},
		{"num.partitions", "0", []string{"num.partitions", `"0"`, "at least 1"}},
		{"num.partitions", "3000000000", []string{"num.partitions", "32 bits"}},
		{"num.partitions", "", []string{"num.partitions"}},
		{"auto.create.topics.enable", "yes", []string{"auto.create.topics.enable", "true or false"}},
		{"log.cleanup.policy", "delete,shrink", []string{"log.cleanup.policy", "delete, compact"}},
		{"log.cleanup.policy", "delete,delete", []string{"log.cleanup.policy"}},
		{"log.cleanup.policy", "", []string{"log.cleanup.policy"}},
		{"log.retention.ms", "0", []string{"log.retention.ms", "-1"}},
		{"log.retention.hours", "0", []string{"log.retention.hours", "negative"}},
		{"log.retention.minutes", "0", []string{"log.retention.minutes", "negative"}},
		{"log.cleaner.min.cleanable.ratio", "1.5", []string{"from 0 to 1"}},
		{"log.cleaner.min.cleanable.ratio", "NaN", []string{"a number"}},
		{"millrace.flush", "never", []string{"commit, interval, os"}},
		{"compression.type", "brotli", []string{"producer, uncompressed, gzip"}},
		{"compression.gzip.level", "0", []string{"from 1 to 9"}},
		{"advertised.listeners", "broker:9092", []string{"NAME://host:port"}},
		{"advertised.listeners", "PLAINTEXT://0.0.0.0:9092", []string{"NAME://host:port"}},
		{"advertised.listeners", "PLAINTEXT://:9092", []string{"NAME://host:port"}},
		{"advertised.listeners", "PLAINTEXT://broker:99999", []string{"NAME://host:port"}},
		{"advertised.listeners", "PLAINTEXT://::1:9092", []string{"NAME://host:port"}},
		{"advertised.listeners", "EXTERNAL://broker:9092", []string{"no listener EXTERNAL", "listeners has PLAINTEXT"}},
		{"advertised.listeners", "PLAINTEXT://a:1,PLAINTEXT://b:1", []string{"PLAINTEXT is there twice"}},
		{"listeners", "0.0.0.0:9092", []string{"NAME://host:port"}},
		{"listeners", "PLAINTEXT://host", []string{"NAME://host:port"}},
		{"listeners", "PLAINTEXT://host:70000", []string{"ports from 0 to 65535"}},
		{"listeners", "PLAINTEXT://::1:9092", []string{"IPv6 addresses in brackets"}},
		{"listeners", "PLAIN TEXT://host:1", []string{"NAME://host:port"}},
		{"listeners", "CONTROLLER://:9093", []string{"no listener for clients"}},
		{"listeners", "A://:9092,a://:9093", []string{"two listeners are named a"}},
		{"listeners", "A://127.0.0.1:9092,B://:9092", []string{"A and B both listen on port 9092"}},
		{"listeners", "A://[::]:9092,B://[::1]:9092", []string{"A and B both listen on port 9092"}},
		{"listeners", "SASL_SSL://:9092", []string{"SASL_SSL", "not supported yet"}},
		{"listener.security.protocol.map", "PLAINTEXT:SSL", []string{"PLAINTEXT has the security protocol SSL", "not supported yet"}},
		{"listener.security.protocol.map", "PLAINTEXT:TLS", []string{"one of PLAINTEXT, SSL"}},
		{"sasl.enabled.mechanisms", "PLAIN", []string{"sasl.enabled.mechanisms", "open"}},
		{"ssl.client.auth", "required", []string{"ssl.client.auth", "open"}},
		{"authorizer.class.name", "x", []string{"authorizer.class.name", "open"}},
	} {
		_, err := ParseBroker(map[string]string{c.name: c.value})
		if err == nil {
			t.Errorf("%s=%s is accepted", c.name, c.value)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s=%s: %q lacks %q", c.name, c.value, err, want)
			}
		}
	}
}

func TestParseRefusesContradictions(t *testing.T) {
	for _, values := range []map[string]string{
		{"group.min.session.timeout.ms": "10000", "group.max.session.timeout.ms": "9999"},
		{"queued.max.request.bytes": "1000", "socket.request.max.bytes": "1001"},
		{"log.cleaner.min.compaction.lag.ms": "2", "log.cleaner.max.compaction.lag.ms": "1"},
	} {
		if _, err := ParseBroker(values); err == nil {
			t.Errorf("%v is accepted", values)
		}
	}
	mustParse(t, map[string]string{"queued.max.request.bytes": "-1", "socket.request.max.bytes": "1001"})
}

func TestSettingsOfKafkaWithoutUseAreIgnored(t *testing.T) {
	b := mustParse(t, map[string]string{
		"num.network.threads": "3", "process.roles": "broker,controller", "controller.quorum.voters": "1@localhost:9093",
		"group.consumer.max.size": "7", "num.partitions": "4",
	})
	want := []string{"controller.quorum.voters", "group.consumer.max.size", "num.network.threads", "process.roles"}
	if !slices.Equal(b.Ignored, want) {
		t.Errorf("ignored %v, want %v", b.Ignored, want)
	}
	if b.NumPartitions != 4 {
		t.Errorf("num.partitions is %d", b.NumPartitions)
	}
}

func TestBrokerIDIsTheOlderNameOfNodeID(t *testing.T) {
	for _, c := range []struct {
		values map[string]string
		want   int32
	}{
		{nil, 1},
		{map[string]string{"broker.id": "7"}, 7},
		{map[string]string{"broker.id": "7", "node.id": "8"}, 8},
	} {
		if got := mustParse(t, c.values).NodeId; got != c.want {
			t.Errorf("%v: node id %d, want %d", c.values, got, c.want)
		}
	}
}

func TestOwnSettingsMayLeaveOutTheirPrefix(t *testing.T) {
	b, err := ParseBroker(map[string]string{"fsync.concurrency": "7"})
	if err != nil {
		t.Fatal(err)
	}
	if b.MillraceFsyncConcurrency != 7 {
		t.Errorf("concurrency %d, want 7", b.MillraceFsyncConcurrency)
	}
	if _, err := ParseBroker(map[string]string{"fsync.concurrency": "many"}); err == nil {
		t.Error("a value that is no number was taken")
	}
}
