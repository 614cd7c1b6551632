package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker/internal/coordinator"
	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// TestOffsetsOfKafkaAreReplayed: testdata/kafka-offsets is the __consumer_offsets of Apache Kafka 4.3.1 after 240 random
// commits, commits in transactions of both protocols, ends and deletions by several producers, and what that broker said of
// each offset, 41 times on the way. The same log up to there says the same here.
func TestOffsetsOfKafkaAreReplayed(t *testing.T) {
	segment, err := os.ReadFile("testdata/kafka-offsets/00000000000000000000.log")
	if err != nil {
		t.Fatal(err)
	}
	expected, err := os.ReadFile("testdata/kafka-offsets/expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, moment := range strings.Split(string(expected), "at ")[1:] {
		at, want, _ := strings.Cut(moment, "\n")
		end, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := replayedOffsets(t, upTo(t, segment, end)); got != want {
			t.Errorf("at %d:\n%sKafka had\n%s", end, got, want)
		}
	}
}

// upTo returns the batches of a segment below an offset.
func upTo(t *testing.T, segment []byte, end int64) []byte {
	t.Helper()
	size := 0
	for rest := segment; len(rest) > 0; {
		batch, after, err := record.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		if batch.BaseOffset() >= end {
			break
		}
		size += len(batch)
		rest = after
	}
	return segment[:size]
}

// replayedOffsets says what the groups have committed whose log that segment is.
func replayedOffsets(t *testing.T, segment []byte) string {
	t.Helper()
	files := disk.NewMem()
	if err := files.MkdirAll("/offsets-0"); err != nil {
		t.Fatal(err)
	}
	f, err := files.Create("/offsets-0/00000000000000000000.log")
	if err == nil {
		_, err = f.WriteAt(segment, 0)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	p := partition.Open(partition.Options{
		Topic: metadata.OffsetsTopic, Log: log.Options{FS: files, Dir: "/offsets-0", NowMs: 1},
		Config: partition.DefaultConfig(), Syncs: partition.NewSyncs(1, nil),
	})
	defer p.Close()
	shard, err := coordinator.Load(t.Context(), coordinator.Options[*group.State]{
		Partition: p, Logger: slog.New(slog.DiscardHandler),
		New: func(coordinator.World) *group.State {
			forever := group.Config{OffsetsRetentionMs: 1 << 50, OffsetsCheckIntervalMs: 1 << 40}
			return group.New(forever, group.Environment{}, slog.New(slog.DiscardHandler))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer shard.Close()
	text, err := shard.Do(t.Context(), func(s *group.State, _ uint64) any { return describeOffsets(s) })
	if err != nil {
		t.Fatal(err)
	}
	return text.(string)
}

// describeOffsets are the offsets of three groups in topic t, as expected.txt has them.
func describeOffsets(s *group.State) string {
	var text strings.Builder
	for _, groupID := range []string{"g0", "g1", "g2"} {
		for index := range int32(2) {
			p := group.TopicPartition{Topic: "t", Partition: index}
			o, ok := s.Offset(groupID, p)
			if !ok {
				o = group.Offset{Offset: -1, LeaderEpoch: -1}
			}
			fmt.Fprintf(&text, "%s %d: %d epoch %d %q", groupID, index, o.Offset, o.LeaderEpoch, o.Metadata)
			if s.Unstable(groupID, p) {
				text.WriteString(" unstable")
			}
			text.WriteByte('\n')
		}
	}
	return text.String()
}
