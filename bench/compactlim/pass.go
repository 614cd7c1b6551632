package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/bench/internal/rep"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

const (
	valueBytes     = 100
	recordsInBatch = 500
)

// fill appends megabytes of updates of random keys.
func (s *settings) fill(l *log.Log) (records int64) {
	random := rand.New(rand.NewPCG(1, 2))
	builder := record.NewBuilder(record.Options{})
	value := make([]byte, valueBytes)
	nowMs := time.Now().UnixMilli()
	for l.Size() < int64(s.megabytes)*1e6 {
		builder.Reset()
		for range recordsInBatch {
			var key [16]byte
			binary.BigEndian.PutUint64(key[:], uint64(random.IntN(s.keys)))
			builder.Add(nowMs, key[:], value)
		}
		batch, err := builder.Build()
		rep.Must(err)
		_, err = l.Append(batch, log.AppendOptions{NowMs: nowMs, LeaderEpoch: max(0, l.LatestEpoch())})
		rep.Must(err)
		records += recordsInBatch
	}
	rep.Must(l.Roll(nowMs))
	return records
}

// pass compacts a new log in this process, some times.
func pass(s *settings) {
	var speed, rate, memory, left []float64
	for range s.runs {
		dir := filepath.Join(s.dir, "t-0")
		config := log.DefaultConfig()
		config.SegmentBytes, config.Compacted = 256<<20, true
		l, _, err := log.Open(log.Options{FS: disk.OS(), Dir: dir, Config: config})
		rep.Must(err)
		records := s.fill(l)
		bytes := float64(l.Size())
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		for dirty := int64(1); dirty > 0; {
			_, err := l.Compact(log.CompactOptions{NowMs: begin.UnixMilli(), Before: l.LogEndOffset(), MapBytes: s.mapBytes})
			rep.Must(err)
			found, err := l.Cleanable(begin.UnixMilli(), l.LogEndOffset())
			rep.Must(err)
			dirty = found.DirtyBytes
		}
		took := time.Since(begin).Seconds()
		runtime.ReadMemStats(&after)
		speed, rate = append(speed, bytes/1e6/took), append(rate, float64(records)/took)
		memory = append(memory, float64(after.TotalAlloc-before.TotalAlloc)/1e6)
		left = append(left, float64(l.Size())/bytes*100)
		rep.Must(l.Close())
		rep.Must(os.RemoveAll(dir))
	}
	what := fmt.Sprintf("pass over %d MB, %d keys, map of %d MB", s.megabytes, s.keys, s.mapBytes>>20)
	rep.Row(what, "MB/s", speed)
	rep.Row(what, "keys/s", rate)
	rep.Row(what+": allocated", "MB", memory)
	rep.Row(what+": left", "%", left)
}

// foreground produces to one topic while another one is compacted, and while it is not, by turns.
func foreground(s *settings) {
	b, _ := s.start("-X", "log.cleaner.enable=false")
	s.createTopics()
	b.stop()
	figures := map[string][2][]float64{}
	for turn := range 2 * (s.runs + 1) {
		cleaning := turn%2 == 1
		s.refill()
		b, _ := s.start("-X", fmt.Sprintf("log.cleaner.enable=%v", cleaning), "-X", "log.cleaner.backoff.ms=1")
		megabytes, p99 := s.produce()
		if cleaning && metric(s.http, "millrace_compaction_duration_seconds_count") > 0 {
			fmt.Println("# the compaction was over before the turn: more -mb, or less -d")
		}
		b.stop()
		if turn < 2 {
			continue // not counted
		}
		name := map[bool]string{false: "cleaner off", true: "cleaner at work"}[cleaning]
		f := figures[name]
		figures[name] = [2][]float64{append(f[0], megabytes), append(f[1], p99)}
	}
	for _, name := range []string{"cleaner off", "cleaner at work"} {
		rep.Row("produce, "+name, "MB/s", figures[name][0])
		rep.Row("produce, "+name+": 99th percentile", "ms", figures[name][1])
	}
}

func (s *settings) createTopics() {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr))
	rep.Must(err)
	defer client.Close()
	policy, segment := "compact", "67108864"
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(context.Background(), 1, 1, map[string]*string{"cleanup.policy": &policy, "segment.bytes": &segment}, "state")
	rep.Must(err)
	_, err = admin.CreateTopic(context.Background(), 1, 1, nil, "foreground")
	rep.Must(err)
}

// refill makes the compacted topic dirty again.
func (s *settings) refill() {
	dir := filepath.Join(s.dir, "data", "state-0")
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	rep.Must(err)
	for _, name := range names {
		if filepath.Base(name) != "partition.metadata" {
			rep.Must(os.Remove(name))
		}
	}
	config := log.DefaultConfig()
	config.SegmentBytes, config.Compacted, config.DeleteOldSegments = 64<<20, true, false
	l, _, err := log.Open(log.Options{FS: disk.OS(), Dir: dir, Config: config})
	rep.Must(err)
	s.fill(l)
	rep.Must(l.Close())
}

// produce writes records of 1 KB for one turn and returns MB/s and the 99th percentile of the time to an acknowledgement, in ms.
func (s *settings) produce() (megabytes, p99Ms float64) {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.DefaultProduceTopic("foreground"), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1000))
	rep.Must(err)
	defer client.Close()
	var mu sync.Mutex
	var took []time.Duration
	value := make([]byte, 1000)
	begin := time.Now()
	for time.Since(begin) < s.duration {
		sent := time.Now()
		client.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			rep.Must(err)
			mu.Lock()
			took = append(took, time.Since(sent))
			mu.Unlock()
		})
	}
	rep.Must(client.Flush(context.Background()))
	elapsed := time.Since(begin).Seconds()
	slices.Sort(took)
	return float64(len(took)) * float64(len(value)) / 1e6 / elapsed, float64(took[len(took)*99/100].Microseconds()) / 1e3
}
