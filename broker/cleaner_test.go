package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/memnet"
	"github.com/millrace/millrace/log/record"
)

// keyedBatch has one record for each key, with the value; an empty one is a tombstone.
func keyedBatch(t testing.TB, value string, keys ...string) []byte {
	t.Helper()
	b := record.NewBuilder(record.Options{})
	for _, key := range keys {
		var v []byte
		if value != "" {
			v = []byte(value)
		}
		b.Add(time.Now().UnixMilli(), []byte(key), v)
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(batch)
}

func produceKeyed(t testing.TB, c *client, topic, value string, keys ...string) {
	t.Helper()
	if answer := produced(t, c.ask(produceRequest(topic, acksAll, keyedBatch(t, value, keys...)))); answer.ErrorCode != 0 {
		t.Fatalf("produce: error %d", answer.ErrorCode)
	}
}

var compactedTopic = map[string]string{"cleanup.policy": "compact", "segment.bytes": "1000", "delete.retention.ms": "60000"}

// values reads a whole topic, key=value.
func values(t testing.TB, b *Broker, topic string) string {
	t.Helper()
	p := b.partitions.lookup(topic, 0)
	var all []string
	for from, end := p.Offsets().LogStart, p.Offsets().HighWatermark; from < end; {
		r, _, err := p.Read(from, 1<<20, true, 0)
		if err != nil || r == nil {
			t.Fatalf("read at %d of %d: %v, %v", from, end, r, err)
		}
		data := make([]byte, r.Size())
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		from = r.NextOffset()
		r.Release()
		for len(data) > 0 {
			batch, rest, err := record.Next(data)
			if err != nil {
				t.Fatal(err)
			}
			data = rest
			reader, err := batch.Records(1 << 20)
			for err == nil && reader.Next() {
				all = append(all, string(reader.Record().Key)+"="+string(reader.Record().Value))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return strings.Join(all, " ")
}

func TestCompactedTopicsShrinkInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		b, dial := brokerOn(t, files, nil)
		c := dial()
		topicWith(t, b, "t", 1, compactedTopic)
		topicWith(t, b, "kept", 1, map[string]string{"segment.bytes": "1000"})
		for i := range 100 {
			produceKeyed(t, c, "t", fmt.Sprintf("value-%d", i), "a", fmt.Sprintf("key-%d", i%3))
			produceKeyed(t, c, "kept", fmt.Sprintf("value-%d", i), "a")
		}
		produceKeyed(t, c, "t", "", "key-0")
		for range 20 {
			produceKeyed(t, c, "t", "last", "a")
		}
		p, kept := b.partitions.lookup("t", 0), b.partitions.lookup("kept", 0)
		before := p.Stats().SizeBytes
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if after := p.Stats().SizeBytes; after > before/4 {
			t.Errorf("%d bytes of %d", after, before)
		}
		if p.Offsets().LogStart != 0 || p.Offsets().HighWatermark != 221 {
			t.Errorf("%+v", p.Offsets())
		}
		all := values(t, b, "t")
		if !strings.Contains(all, "key-0= ") || strings.Count(all, "key-1=") != 1 || strings.Contains(all, "key-0=v") || !strings.HasSuffix(all, "a=last") {
			t.Errorf("%s", all)
		}
		backlog, ratios := b.cleaner.figures()
		if count, _, _ := b.cleaner.durations.snapshot(inSeconds); count == 0 || b.cleaner.failures.Load() != 0 || backlog["t"] != 0 || ratios["t"] <= 0 || ratios["t"] > 0.5 {
			t.Errorf("%d compactions, %d failures, backlog %v, ratios %v", count, b.cleaner.failures.Load(), backlog, ratios)
		}
		if _, known := backlog["kept"]; known || kept.Stats().SizeBytes < 5000 {
			t.Errorf("a topic that is not compacted: %v, %d bytes", backlog, kept.Stats().SizeBytes)
		}
		time.Sleep(2 * time.Minute) // beyond delete.retention.ms, with nothing new to compact
		synctest.Wait()
		if all := values(t, b, "t"); strings.Contains(all, "key-0") {
			t.Errorf("the tombstone is still there: %s", all)
		}
		c.ask(incrementalConfig("kept", "cleanup.policy", "compact"))
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if size := kept.Stats().SizeBytes; size > 2000 {
			t.Errorf("%d bytes after the policy was changed", size)
		}
	})
}

func incrementalConfig(topic, name, value string) *kmsg.IncrementalAlterConfigsRequest {
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	change := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	change.Name, change.Value = name, &value
	resource.Configs = append(resource.Configs, change)
	request.Resources = append(request.Resources, resource)
	return request
}

// TestDamagedLogIsLeftAloneByTheCleaner flips a bit in one of two compacted topics.
func TestDamagedLogIsLeftAloneByTheCleaner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		logged := new(lockedBuffer)
		network := memnet.New()
		listener, err := network.Listen("10.0.0.1:9092")
		if err != nil {
			t.Fatal(err)
		}
		b := startBroker(t, Options{DataDir: "/data", Listener: listener, fileSystem: files, Logger: slog.New(slog.NewTextHandler(logged, nil))}, nil)
		conn, err := network.Dial(t.Context(), "tcp", "10.0.0.1:9092")
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, conn)
		for _, topic := range []string{"broken", "whole"} {
			topicWith(t, b, topic, 1, compactedTopic)
			for range 50 {
				produceKeyed(t, c, topic, "value", "a", "b")
			}
		}
		broken, whole := b.partitions.lookup("broken", 0), b.partitions.lookup("whole", 0)
		if err := files.FlipBit(broken.Dir()+"/00000000000000000000.log", 8*(record.HeaderSize+5)); err != nil {
			t.Fatal(err)
		}
		before := whole.Stats().SizeBytes
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := strings.Count(logged.String(), "not compacted any more"); n != 1 || b.cleaner.failures.Load() != 1 {
			t.Errorf("told %d times, %d failures", n, b.cleaner.failures.Load())
		}
		if after := whole.Stats().SizeBytes; after > before/2 {
			t.Errorf("the log beside it has %d bytes of %d", after, before)
		}
		produceKeyed(t, c, "broken", "value", "a")
	})
}

// TestOffsetsTopicShrinks commits again and again, and asks after a restart.
func TestOffsetsTopicShrinks(t *testing.T) {
	files := disk.NewMem()
	settings := map[string]string{"offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "2000",
		"log.cleaner.enable": "false"}
	b, stop := startOn(t, files, settings)
	createTopic(t, b, "clicks", 1)
	commitOffset(t, b, "readers", "clicks", 0)
	for i := range 300 {
		commitOffset(t, b, "readers", "clicks", int64(i))
	}
	p := b.partitions.lookup("__consumer_offsets", 0)
	before := p.Stats().SizeBytes
	for tried := map[*partition.Partition]bool{}; b.cleaner.cleanOne(t.Context(), tried); {
	}
	if after := p.Stats().SizeBytes; before < 20_000 || after > 4000 {
		t.Errorf("%d bytes of %d", after, before)
	}
	stop()
	b, stop = startOn(t, files, settings)
	defer stop()
	if got := committedOffset(t, b, "readers", "clicks"); got != 299 {
		t.Errorf("committed offset %d after the restart", got)
	}
}

func TestThrottleSpreadsBytesOverTimeAndEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := throttle{perSecond: 1000}
		begin := time.Now()
		for range 10 {
			if err := limit.wait(t.Context(), 500); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("5000 bytes took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := limit.wait(ctx, 1<<30); !errors.Is(err, context.Canceled) || time.Since(begin) != 6*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		fast := throttle{perSecond: 1.7976931348623157e+308}
		if begin = time.Now(); fast.wait(t.Context(), 1<<40) != nil || time.Since(begin) != 0 {
			t.Error("no limit, and it waits")
		}
	})
}

// TestCompactionLeavesTheReserveAlone has less room than the broker keeps for itself, and later enough.
func TestCompactionLeavesTheReserveAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := disk.NewMem()
		files.SetBudget(smallDiskBytes)
		b, dial, logged := brokerOnSmallDisk(t, files, nil)
		topicWith(t, b, "t", 1, compactedTopic)
		c := dial()
		for i := range 50 {
			produceKeyed(t, c, "t", fmt.Sprintf("value-%d", i), "a")
		}
		p := b.partitions.lookup("t", 0)
		before := p.Stats().SizeBytes
		ballast, err := files.Create("/data/ballast")
		if err == nil {
			_, err = ballast.WriteAt(make([]byte, smallDiskBytes-files.UsedBytes()-fullDiskBytes/2), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if size := p.Stats().SizeBytes; size != before || b.cleaner.failures.Load() == 0 || !strings.Contains(logged.String(), "log could not be compacted") {
			t.Errorf("%d bytes of %d, %d failures", size, before, b.cleaner.failures.Load())
		}
		if err := ballast.Truncate(smallDiskBytes - fullDiskBytes); err != nil { // still too little for clients
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if size := p.Stats().SizeBytes; size > before/2 {
			t.Errorf("%d bytes of %d", size, before)
		}
		if state, _ := b.disk.status(); state != diskReadOnly {
			t.Errorf("the disk is %s", state)
		}
	})
}

// TestStoppingEndsACompactionUnderWay limits it to next to nothing.
func TestStoppingEndsACompactionUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), map[string]string{"log.cleaner.io.max.bytes.per.second": "1"})
		c := dial()
		topicWith(t, b, "t", 1, compactedTopic)
		topicWith(t, b, "gone", 1, compactedTopic)
		for range 50 {
			produceKeyed(t, c, "t", "value", "a", "b")
			produceKeyed(t, c, "gone", "value", "a", "b")
		}
		time.Sleep(20 * time.Second) // one of them is being compacted, at a byte a second
		begin := time.Now()
		deleteTopic(t, b, "gone")
		deleteTopic(t, b, "t")
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}
