package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	streamsPartitions = 2
	linesPerRound     = 500
)

// TestKafkaStreamsCountsThroughKills runs Apache Kafka Streams, unmodified, with exactly_once_v2: it counts words while its
// process and the broker are killed with -9, and its counts are those of a plain loop.
func TestKafkaStreamsCountsThroughKills(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-X", "group.initial.rebalance.delay.ms=0")
	for _, topic := range []string{"lines", "counts"} {
		s.createTopic(topic, streamsPartitions)
	}
	streams := &wordCount{t: t, broker: s.addr, state: t.TempDir()}
	counts := s.watchCounts()
	want := map[string]int64{}
	rounds := []func(){
		func() {},
		func() { streams.kill(); streams.start() },
		func() { s.kill(); s.start() },
		func() { s.kill(); streams.kill(); s.start(); streams.start() },
	}
	streams.start()
	for round, disturb := range rounds {
		before := total(want)
		s.produceLines(round, want)
		eventually(t, "the round is being counted", func() bool { return total(counts.now()) > before })
		s.produceLines(round, want) // which are still to be counted when the disturbance comes
		disturb()
	}
	eventually(t, "all is counted", func() bool { return total(counts.now()) >= total(want) })
	if got := counts.now(); !maps.Equal(got, want) {
		t.Errorf("counted %v, not %v", got, want)
	}
	s.checkStreamsTopics()
	streams.kill()
	counts.stop()
	t.Logf("words %d, counted %d", total(want), total(counts.now()))
}

// wordCount is the process of clients/java/WordCount.java.
type wordCount struct {
	t             *testing.T
	broker, state string
	command       *exec.Cmd
}

func (w *wordCount) start() {
	w.t.Helper()
	w.command = foreign{name: "kafka-streams", program: javaProgram("WordCount")}.command(w.t, w.broker, w.state)
	w.command.Stdout = os.Stderr
	if err := w.command.Start(); err != nil {
		w.t.Fatal(err)
	}
	command := w.command
	w.t.Cleanup(func() { _ = command.Process.Kill() })
}

func (w *wordCount) kill() {
	w.t.Helper()
	if err := w.command.Process.Kill(); err != nil {
		w.t.Fatal(err)
	}
	_ = w.command.Wait()
}

// produceLines produces lines of a round and counts their words.
func (s *server) produceLines(round int, want map[string]int64) {
	s.t.Helper()
	records := make([]*kgo.Record, linesPerRound)
	for i := range records {
		line := fmt.Sprintf("the quick w%d of r%d", i%7, round)
		records[i] = &kgo.Record{Topic: "lines", Partition: int32(i % streamsPartitions), Value: []byte(line)}
		for _, word := range strings.Fields(line) {
			want[word]++
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner())).ProduceSync(ctx, records...).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
}

func total(counts map[string]int64) (sum int64) {
	for _, count := range counts {
		sum += count
	}
	return sum
}

// counts are the last counts that are committed.
type counts struct {
	mu   sync.Mutex
	last map[string]int64
	stop func()
}

// watchCounts reads the topic of counts as they are committed. A count that does not grow was counted twice or lost.
func (s *server) watchCounts() *counts {
	ctx, cancel := context.WithCancel(context.Background())
	c := &counts{last: map[string]int64{}}
	var done sync.WaitGroup
	c.stop = func() { cancel(); done.Wait() }
	s.t.Cleanup(c.stop)
	client := s.client(kgo.ConsumeTopics("counts"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	done.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				count, err := strconv.ParseInt(string(r.Value), 10, 64)
				c.mu.Lock()
				defer c.mu.Unlock()
				if word := string(r.Key); err != nil || count <= c.last[word] {
					s.t.Errorf("%s is %q after %d", word, r.Value, c.last[word])
				} else {
					c.last[word] = count
				}
			})
		}
	})
	return c
}

func (c *counts) now() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.last)
}

// checkStreamsTopics finds what Streams keeps for itself: the changelog compacted, and the repartition topic purged behind it.
func (s *server) checkStreamsTopics() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin := kadm.NewClient(s.client())
	configs, err := admin.DescribeTopicConfigs(ctx, "word-count-counts-changelog")
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := configs.On("word-count-counts-changelog", func(r *kadm.ResourceConfig) error {
		for _, c := range r.Configs {
			if c.Key == "cleanup.policy" && c.MaybeValue() != "compact" {
				s.t.Errorf("the changelog has cleanup.policy=%s", c.MaybeValue())
			}
		}
		return r.Err
	}); err != nil {
		s.t.Error(err)
	}
	eventually(s.t, "the repartition topic is purged", func() bool {
		starts, err := admin.ListStartOffsets(ctx, "word-count-words-repartition")
		if err != nil {
			s.t.Fatal(err)
		}
		purged := len(starts["word-count-words-repartition"]) == streamsPartitions
		starts.Each(func(o kadm.ListedOffset) { purged = purged && o.Err == nil && o.Offset > 0 })
		return purged
	})
}
