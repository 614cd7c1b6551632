package streams_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

// The models of these tests keep every record and compute each result anew from all of them. What they expect does not depend on
// batches, commits, caches and crashes, which the tests draw.

// event is a record that is sent, or, with a pause, time that passes when all records before it are processed.
type event struct {
	key, value     string
	noKey, noValue bool
	ms             int64
	pause          time.Duration
}

const modelPartitions = 2

// partitionOf keeps records and their results in partitions of one number, so that each task's output can be told apart.
func partitionOf(key string) int { return len(key) % modelPartitions }

var (
	modelIn   = streams.NewTopic("in", serde.String, serde.String)
	modelOut  = streams.NewTopic("out", serde.Windowed(serde.String), serde.String)
	modelLate = streams.NewTopic("late", serde.String, serde.String)
)

func byInnerKey() streams.SinkOption {
	return streams.PartitionBy(func(key windows.Key[string], _ string, _ int) int { return partitionOf(key.Key) })
}

func byKey() streams.SinkOption {
	return streams.PartitionBy(func(key, _ string, _ int) int { return partitionOf(key) })
}

// drawEvents draws records whose timestamps go up and are out of order by up to disorderMs.
func drawEvents(r *rapid.T, disorderMs int64, pauses bool) (all []event) {
	baseMs := int64(0)
	for i := range rapid.IntRange(1, 40).Draw(r, "records") {
		if pauses && rapid.IntRange(0, 9).Draw(r, "pause") == 0 {
			all = append(all, event{pause: time.Duration(rapid.IntRange(1, 60).Draw(r, "for")) * time.Millisecond})
		}
		baseMs += rapid.SampledFrom([]int64{0, 0, 1, 3, 7, 20, 100}).Draw(r, "step")
		one := event{
			key:     rapid.SampledFrom([]string{"", "a", "b", "aa", "bb", "b\x00"}).Draw(r, "key"),
			value:   fmt.Sprint(i),
			ms:      max(0, baseMs-rapid.Int64Range(0, disorderMs).Draw(r, "behind")),
			noKey:   rapid.IntRange(0, 19).Draw(r, "no key") == 0,
			noValue: rapid.IntRange(0, 19).Draw(r, "no value") == 0,
		}
		if one.noKey {
			one.key = ""
		}
		all = append(all, one)
	}
	return all
}

// modelStart is early, so that timestamps may be ahead of the wall clock.
var modelStart = time.UnixMilli(100)

// runModel runs a topology on events, with what disturbs it unless calm. outputs are topics with as many partitions as the input.
func runModel(t *testing.T, r *rapid.T, top *streams.Topology, events []event, calm bool, outputs ...string) *streamstest.Driver {
	partitions := map[string]int{"in": modelPartitions}
	for _, topic := range outputs {
		partitions[topic] = modelPartitions
	}
	d := streamstest.New(rapidTB{t, r}, top, streamstest.Options{
		Partitions:   partitions,
		Seed:         rapid.Uint64().Draw(r, "seed"),
		BatchMax:     rapid.IntRange(1, 10).Draw(r, "batch"),
		CommitEvery:  rapid.IntRange(0, 10).Draw(r, "commit every"),
		CacheBytes:   rapid.SampledFrom([]int64{0, 1}).Draw(r, "cache"),
		FlushRecords: rapid.SampledFrom([]int{0, 1}).Draw(r, "flush"),
		Start:        modelStart,
	})
	for _, e := range events {
		if e.pause > 0 {
			d.Drain()
			d.Advance(e.pause)
			continue
		}
		e.send(d, modelIn)
		if !calm {
			disturb(r, d)
		}
	}
	d.Drain()
	return d
}

func (e event) send(d *streamstest.Driver, topic streams.Topic[string, string]) {
	options := []streamstest.SendOption{at(e.ms), streamstest.OnPartition(partitionOf(e.key))}
	if e.noKey {
		options = append(options, streamstest.NoKey())
	}
	if e.noValue {
		options = append(options, streamstest.NoValue())
	}
	streamstest.Send(d, topic, e.key, e.value, options...)
}

func disturb(r *rapid.T, d *streamstest.Driver) {
	switch rapid.SampledFrom([]string{"", "", "", "", "", "", "", "step", "step", "drain", "crash", "lose disks", "stop", "fault"}).Draw(r, "then") {
	case "step":
		d.Step()
	case "drain":
		d.Drain()
	case "crash":
		d.Crash()
	case "lose disks":
		d.LoseDisks()
	case "stop":
		d.Stop()
	case "fault":
		d.CrashAt(rapid.SampledFrom(streamstest.Points()).Draw(r, "point"), rapid.IntRange(1, 3).Draw(r, "n"))
	}
}

// perPartition returns what was committed to each partition of a topic.
func perPartition[K, V any](d *streamstest.Driver, topic streams.Topic[K, V]) (all [modelPartitions][]string) {
	for _, r := range streamstest.Read(d, topic) {
		value := fmt.Sprint(r.Value)
		if r.NoValue {
			value = "-"
		}
		all[r.Partition] = append(all[r.Partition], result(r.Key, value, r.Timestamp.UnixMilli()))
	}
	return all
}

// result is a record in words.
func result(key any, value string, ms int64) string {
	return fmt.Sprintf("%v = %s at %d", key, value, ms)
}

// ofPartition returns the records of one partition, and the pauses.
func ofPartition(events []event, partition int) (some []event) {
	for _, e := range events {
		if e.pause > 0 || partitionOf(e.key) == partition {
			some = append(some, e)
		}
	}
	return some
}

func compare(r *rapid.T, what string, got, want []string) {
	if !slices.Equal(got, want) {
		r.Fatalf("%s:\n got\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// rapidTB lets a driver fail a test of rapid.
type rapidTB struct {
	testing.TB
	r *rapid.T
}

func (t rapidTB) Cleanup(f func())                  { t.r.Cleanup(f) }
func (t rapidTB) Error(args ...any)                 { t.r.Error(args...) }
func (t rapidTB) Errorf(format string, args ...any) { t.r.Errorf(format, args...) }
func (t rapidTB) Fatal(args ...any)                 { t.r.Fatal(args...) }
func (t rapidTB) Fatalf(format string, args ...any) { t.r.Fatalf(format, args...) }
func (t rapidTB) Helper()                           {}
