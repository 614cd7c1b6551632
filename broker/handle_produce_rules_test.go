package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/log/record"
)

// What these tests expect is what Apache Kafka 4.1 does with the same batches.

var allCodecs = []record.Codec{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd}

// sent is a record of a test: its time from now on, its key ("-": null) and its value.
type sent struct {
	inMs       int64
	key, value string
}

func batchOfSent(t testing.TB, codec record.Codec, records []sent) record.Batch {
	t.Helper()
	builder := record.NewBuilder(record.Options{Codec: codec})
	for _, r := range records {
		key := []byte(r.key)
		if r.key == "-" {
			key = nil
		}
		builder.Add(time.Now().UnixMilli()+r.inMs, key, []byte(r.value))
	}
	batch, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// storedBatch reads the batch at an offset back.
func storedBatch(c *client, topic string, offset int64) record.Batch {
	c.t.Helper()
	batch, _, err := record.Next(c.ask(fetchRequest(topic, offset, 0)).(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := batch.Validate(); err != nil {
		c.t.Error(err)
	}
	return batch
}

func TestEveryRecordThatATopicDoesNotTakeIsNamed(t *testing.T) {
	const hourMs = 3600_000
	b := startBroker(t, Options{}, nil)
	topicWith(t, b, "compacted", 1, map[string]string{"cleanup.policy": "compact"})
	topicWith(t, b, "young", 1, map[string]string{"message.timestamp.before.max.ms": "1000000"})
	topicWith(t, b, "both", 1, map[string]string{"cleanup.policy": "compact,delete", "message.timestamp.before.max.ms": "1000000"})
	topicWith(t, b, "ours", 1, map[string]string{"message.timestamp.type": "LogAppendTime", "message.timestamp.before.max.ms": "1000"})
	c := dial(t, b)
	for _, test := range []struct {
		topic   string
		records []sent
		code    *kerr.Error
		named   []int32
	}{
		{"compacted", []sent{{0, "a", "1"}, {0, "-", "1"}, {0, "", "1"}, {0, "-", ""}}, kerr.InvalidRecord, []int32{1, 3}},
		{"compacted", []sent{{3 * hourMs, "a", "1"}, {0, "-", "1"}, {3 * hourMs, "-", "1"}}, kerr.InvalidTimestamp, []int32{0, 1, 2}},
		{"young", []sent{{-2 * hourMs, "a", "1"}, {0, "-", "1"}, {-1000, "-", "1"}, {2 * hourMs, "-", ""}}, kerr.InvalidTimestamp, []int32{0, 3}},
		{"young", []sent{{hourMs / 2, "a", "1"}, {-1000, "-", "1"}}, nil, nil},
		{"both", []sent{{0, "a", "1"}, {0, "-", "1"}, {-2 * hourMs, "c", "1"}, {2 * hourMs, "c", ""}}, kerr.InvalidTimestamp, []int32{1, 2, 3}},
		{"ours", []sent{{-5 * hourMs, "a", "1"}, {5 * hourMs, "-", "1"}}, nil, nil},
	} {
		for _, codec := range allCodecs {
			answer := produced(t, c.ask(produceRequest(test.topic, acksAll, batchOfSent(t, codec, test.records))))
			wantCode(t, answer.ErrorCode, test.code)
			var named []int32
			for _, r := range answer.ErrorRecords {
				named = append(named, r.RelativeOffset)
				if r.ErrorMessage == nil {
					t.Errorf("%s %v: record %d without a message", test.topic, codec, r.RelativeOffset)
				}
			}
			if !slices.Equal(named, test.named) {
				t.Errorf("%s %v: records %v, want %v", test.topic, codec, named, test.named)
			}
		}
	}
}

// Nothing is lost or gained on the way from one codec to another, and the limit holds before and after it.
func TestBatchesAreStoredInTheTopicsCodec(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	targets := map[string]record.Codec{"uncompressed": record.None, "gzip": record.Gzip, "snappy": record.Snappy, "lz4": record.LZ4, "zstd": record.Zstd}
	for target, codec := range targets {
		topicWith(t, b, target, 1, map[string]string{"compression.type": target, "max.message.bytes": "300"})
		topicWith(t, b, target+"-stamped", 1, map[string]string{"compression.type": target, "message.timestamp.type": "LogAppendTime"})
		for _, source := range allCodecs {
			name := fmt.Sprintf("%v to %s", source, target)
			large := produced(t, c.ask(produceRequest(target, acksAll, batchOfSent(t, source, []sent{{0, "a", strings.Repeat("x", 500)}}))))
			var want *kerr.Error
			if source == record.None || codec == record.None {
				want = kerr.MessageTooLarge
			}
			wantCode(t, large.ErrorCode, want)
			records := []sent{{-5000, "a", "some value"}, {-9000, "-", ""}}
			small := produced(t, c.ask(produceRequest(target, acksAll, batchOfSent(t, source, records))))
			stamped := produced(t, c.ask(produceRequest(target+"-stamped", acksAll, batchOfSent(t, source, records))))
			if small.ErrorCode != 0 || stamped.ErrorCode != 0 || small.LogAppendTime != -1 {
				t.Fatalf("%s: %+v, %+v", name, small, stamped)
			}
			got := storedBatch(c, target, small.BaseOffset)
			if got.Codec() != codec || got.TimestampType() != record.CreateTime || got.Count() != 2 || got.MaxTimestampMs() > time.Now().UnixMilli()-5000 {
				t.Errorf("%s: stored in %v with %v, %d records", name, got.Codec(), got.TimestampType(), got.Count())
			}
			got = storedBatch(c, target+"-stamped", stamped.BaseOffset)
			if got.Codec() != codec || got.TimestampType() != record.LogAppendTime || got.MaxTimestampMs() != stamped.LogAppendTime {
				t.Errorf("%s: stored in %v with %v at %d, answered %d", name, got.Codec(), got.TimestampType(), got.MaxTimestampMs(), stamped.LogAppendTime)
			}
		}
	}
}

// As many replicas as there are at most can be asked for: Kafka takes the smaller of min.insync.replicas and the
// replication factor.
func TestMoreInSyncReplicasThanThereAreAreNotWaitedFor(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topicWith(t, b, "t", 1, map[string]string{"min.insync.replicas": "2"})
	c := dial(t, b)
	for _, acks := range []int16{acksAll, acksLeader} {
		wantCode(t, produced(t, c.ask(produceRequest("t", acks, batchOf(t, "v")))).ErrorCode, nil)
	}
}

func TestATopicThatBecomesCompactedTakesNoMoreRecordsWithoutKeys(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 1)
	c := dial(t, b)
	keyless := func() int16 {
		return produced(t, c.ask(produceRequest("t", acksAll, batchOfSent(t, record.None, []sent{{0, "-", "v"}})))).ErrorCode
	}
	wantCode(t, keyless(), nil)
	if code := alter(c, 1, kmsg.ConfigResourceTypeTopic, "t", false, operation("cleanup.policy", setConfig, "compact")); code != 0 {
		t.Fatal(code)
	}
	wantCode(t, keyless(), kerr.InvalidRecord)
	wantCode(t, produced(t, c.ask(produceRequest("t", acksAll, batchOfSent(t, record.None, []sent{{0, "k", "v"}})))).ErrorCode, nil)
	if values, _ := fetched(t, c.ask(fetchRequest("t", 0, 0))); len(values) == 0 || values[0] != "v" {
		t.Errorf("what was there before reads as %q", values)
	}
}
