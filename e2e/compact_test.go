package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	compactionKills  = 5
	compactionKeys   = 40
	compactedRecords = 3000 // in a round
)

// TestCompactionKeepsTheLastValueThroughKills writes to a compacted topic, kills the broker with -9 while it compacts, and in the
// end reads the last value of each key, and hardly anything else.
func TestCompactionKeepsTheLastValueThroughKills(t *testing.T) {
	s := startServer(t, "-X", "log.cleaner.backoff.ms=10", "-X", "log.cleaner.min.cleanable.ratio=0.01",
		"-X", "log.cleaner.io.max.bytes.per.second=300000")
	policy, segment, retention := "compact", "20000", "1"
	s.createTopicWith("state", 1, map[string]*string{"cleanup.policy": &policy, "segment.bytes": &segment, "delete.retention.ms": &retention})
	dir := filepath.Join(s.dataDir, "state-0")
	want := map[string]string{}
	caught := 0
	for round := range compactionKills {
		s.updateKeys("state", round, want)
		eventually(t, "a compaction is under way", func() bool { return len(namesIn(t, dir, "*.cleaned", "*.swap")) > 0 })
		s.kill()
		if len(namesIn(t, dir, "*.cleaned", "*.swap")) > 0 {
			caught++
		}
		s.expectQuiet()
		s.start()
		if got := s.lastValues("state"); !maps.Equal(got, want) {
			t.Fatalf("after kill %d:\n got %v\nwant %v", round+1, got, want)
		}
	}
	if caught == 0 {
		t.Error("no kill came while a segment was written")
	}
	// Tombstones of the last round go in a pass of their own, once their horizon has passed.
	eventually(t, "the topic is small", func() bool { return sizeOf(t, dir) < 2*20000+compactionKeys*400 })
	if got := s.lastValues("state"); !maps.Equal(got, want) {
		t.Errorf("in the end:\n got %v\nwant %v", got, want)
	}
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.expectQuiet()
	s.verifyLogs()
}

// updateKeys writes values, and tombstones among them, and returns when all are acknowledged.
func (s *server) updateKeys(topic string, round int, want map[string]string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	c := s.client(kgo.ProducerBatchCompression(codecs[round%len(codecs)]), kgo.ProducerBatchMaxBytes(8000))
	for i := range compactedRecords {
		key := fmt.Sprintf("key-%d", rand.IntN(compactionKeys))
		record := &kgo.Record{Topic: topic, Key: []byte(key)}
		if rand.IntN(10) == 0 {
			delete(want, key)
		} else {
			want[key] = fmt.Sprintf("round %d value %d %x", round, i, rand.Uint64())
			record.Value = []byte(want[key])
		}
		c.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				s.t.Error(err)
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// lastValues reads the topic to its end.
func (s *server) lastValues(topic string) map[string]string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, err := kadm.NewClient(s.client()).ListEndOffsets(ctx, topic)
	if err != nil {
		s.t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	c := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	last := map[string]string{}
	for next := int64(0); next < end.Offset; { // the last record of a log never goes
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			s.t.Fatalf("read %s at %d of %d: %v", topic, next, end.Offset, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset < next {
				s.t.Errorf("offset %d after %d", r.Offset, next-1)
			}
			next = r.Offset + 1
			if r.Value == nil {
				delete(last, string(r.Key))
			} else {
				last[string(r.Key)] = string(r.Value)
			}
		})
	}
	return last
}

func namesIn(t *testing.T, dir string, patterns ...string) (names []string) {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}

// sizeOf is the size of all segments in a directory.
func sizeOf(t *testing.T, dir string) (bytes int64) {
	t.Helper()
	for _, name := range namesIn(t, dir, "*.log") {
		if info, err := os.Stat(name); err == nil { // else it was replaced meanwhile
			bytes += info.Size()
		}
	}
	return bytes
}
