package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

func TestErrorCodes(t *testing.T) {
	for err, want := range map[error]*kerr.Error{
		partition.ErrOffline:                     kerr.KafkaStorageError,
		partition.ErrFailed:                      kerr.KafkaStorageError,
		log.ErrFull:                              kerr.KafkaStorageError,
		partition.ErrClosed:                      kerr.NotLeaderForPartition,
		&partition.TooLargeError{}:               kerr.MessageTooLarge,
		&partition.TooLargeError{Segment: true}:  kerr.RecordListTooLarge,
		partition.ErrTimestamp:                   kerr.InvalidTimestamp,
		record.ErrTimestamp:                      kerr.InvalidTimestamp,
		record.ErrCorrupt:                        kerr.CorruptMessage,
		log.ErrOutOfRange:                        kerr.OffsetOutOfRange,
		context.DeadlineExceeded:                 kerr.RequestTimedOut,
		kerr.GroupIDNotFound:                     kerr.GroupIDNotFound,
		errors.New("whatever else there may be"): kerr.UnknownServerError,
	} {
		for _, wrapped := range []error{err, fmt.Errorf("somewhere: %w", err)} {
			if code := errorCode(wrapped); code != want.Code {
				t.Errorf("%v: %d, want %v", wrapped, code, want)
			}
		}
	}
	if code := errorCode(nil); code != 0 {
		t.Errorf("no error: %d", code)
	}
}

func TestLookUpOfPartitions(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	topic := topicWith(t, b, "t", 2, nil)
	r := b.partitions
	p, name := r.lookupID(topic.ID, 1)
	if p == nil || p != r.lookup("t", 1) || name != "t" || p.Index() != 1 {
		t.Errorf("%v, %q", p, name)
	}
	for _, index := range []int32{-1, 2, 1 << 30} {
		if p, name := r.lookupID(topic.ID, index); p != nil || name != "t" || r.lookup("t", index) != nil {
			t.Errorf("index %d: %v, %q", index, p, name)
		}
	}
	if p, name := r.lookupID([16]byte{9}, 0); p != nil || name != "" {
		t.Errorf("unknown id: %v, %q", p, name)
	}
	if allocations := testing.AllocsPerRun(100, func() { r.lookup("t", 0) }); allocations != 0 {
		t.Errorf("%v allocations a look-up", allocations)
	}
	dropTopic(t, b, "t")
	if r.lookup("t", 0) != nil || len(r.all()) != 0 {
		t.Error("a deleted topic has partitions")
	}
}

func TestSettingsOfATopicReachItsPartitions(t *testing.T) {
	settings := map[string]string{
		"flush": "interval", "flush.ms": "7", "flush.messages": "8", "max.message.bytes": "9",
		"message.timestamp.before.max.ms": "10", "message.timestamp.after.max.ms": "11", "message.timestamp.type": "LogAppendTime",
		"compression.type": "gzip", "compression.gzip.level": "3", "cleanup.policy": "compact", "delete.retention.ms": "17", "min.compaction.lag.ms": "18", "max.compaction.lag.ms": "19", "min.cleanable.dirty.ratio": "0.25",
		"segment.bytes": "1000", "segment.ms": "12", "segment.jitter.ms": "13", "segment.index.bytes": "5", "index.interval.bytes": "14",
		"retention.bytes": "-7", "retention.ms": "15", "preallocate": "true",
	}
	b, err := config.ParseBroker(map[string]string{"producer.id.expiration.ms": "16"})
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := b.Topic(settings)
	if err != nil {
		t.Fatal(err)
	}
	want := partition.Config{
		Log: log.Config{
			SegmentBytes: 1000, SegmentMs: 12, SegmentJitterMs: 13, SegmentIndexBytes: segmentIndexBytesMin, IndexIntervalBytes: 14,
			RetentionBytes: -1, RetentionMs: 15, Compacted: true, DeleteRetentionMs: 17, MinCompactionLagMs: 18, MaxCompactionLagMs: 19, MinCleanableRatio: 0.25, LogAppendTime: true, ProducerExpirationMs: 16, Preallocate: true,
		},
		Flush: partition.FlushInterval, FlushMs: 7, FlushMessages: 8, MaxMessageBytes: 9, TimestampBeforeMaxMs: 10, TimestampAfterMaxMs: 11,
		Recompress: true, Codec: record.Gzip, CodecLevel: 3,
	}
	if got := partitionConfig(b, &resolved); got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestDirectWritesAreForTopicsThatCommit(t *testing.T) {
	b, err := config.ParseBroker(map[string]string{"millrace.write": "direct"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		settings map[string]string
		direct   bool
	}{
		{nil, true},
		{map[string]string{"write": "buffered"}, false},
		{map[string]string{"flush": "os"}, false},
		{map[string]string{"flush": "interval", "write": "direct"}, false},
	} {
		resolved, err := b.Topic(test.settings)
		if err != nil {
			t.Fatal(err)
		}
		if c := partitionConfig(b, &resolved); c.Log.Direct != test.direct {
			t.Errorf("%v: direct %v", test.settings, c.Log.Direct)
		}
	}
}

func TestDirectWritesThatCannotBeAreSaidOnce(t *testing.T) {
	var out lockedBuffer
	b := startBroker(t, Options{fileSystem: struct{ disk.FS }{disk.NewMem()}, DataDir: "/data",
		Config: map[string]string{"millrace.write": "direct"}, Logger: slog.New(slog.NewTextHandler(&out, nil))}, nil)
	c := dial(t, b)
	for _, topic := range []string{"a", "b"} {
		createTopic(t, b, topic, 1)
		produce := produceRequest(topic, -1, batchOf(t, "x"))
		if code := c.ask(produce).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
			t.Errorf("produce: error %d", code)
		}
	}
	if n := strings.Count(out.String(), "no direct writes"); n != 1 {
		t.Errorf("said %d times: %s", n, out.String())
	}
}

func TestFlushThatIsWeakerThanTheDefaultIsLogged(t *testing.T) {
	var out lockedBuffer
	b := startBroker(t, Options{Logger: slog.New(slog.NewTextHandler(&out, nil))}, nil)
	topicWith(t, b, "safe", 1, nil)
	if strings.Contains(out.String(), "power cut") {
		t.Errorf("flush=commit is warned about: %s", out.String())
	}
	topicWith(t, b, "weak", 1, map[string]string{"flush": "os"})
	if !strings.Contains(out.String(), "power cut") {
		t.Errorf("no warning: %s", out.String())
	}
}

func TestStrayDirectoriesAreSetAside(t *testing.T) {
	mem := disk.NewMem()
	b, _ := brokerOn(t, mem, nil)
	topicWith(t, b, "t", 1, nil)
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"stranger-0", "t-1", "not a partition"} {
		if err := mem.MkdirAll("/data/" + dir); err != nil {
			t.Fatal(err)
		}
		if err := disk.WriteAtomic(mem, "/data/"+dir+"/00000000000000000000.log", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	brokerOn(t, mem, nil)
	entries, err := mem.List("/data")
	if err != nil {
		t.Fatal(err)
	}
	stray := 0
	present := map[string]bool{}
	for _, e := range entries {
		present[e.Name] = true
		if strings.HasSuffix(e.Name, strayDirSuffix) {
			stray++
		}
	}
	if stray != 2 || present["stranger-0"] || present["t-1"] || !present["not a partition"] || !present["t-0"] {
		t.Errorf("directories %v", present)
	}
}

func TestPartitionDirectoryNames(t *testing.T) {
	for name, want := range map[string]string{
		"t-0": "t 0", "a-b-12": "a-b 12", "-0": "", "t": "", "t-": "", "t-x": "", "t-01": "", "t--1": "t- 1", "t-99999999999": "",
	} {
		topic, index, ok := parsePartitionDir(name)
		got := ""
		if ok {
			got = fmt.Sprintf("%s %d", topic, index)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	long := strings.Repeat("x", 249)
	if name := asideName(long, 12345, [16]byte{1}, deletedDirSuffix); len(name) > dirNameMax || !strings.HasSuffix(name, deletedDirSuffix) {
		t.Errorf("%d bytes: %s", len(name), name)
	}
}
