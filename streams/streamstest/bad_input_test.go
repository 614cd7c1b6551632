package streamstest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

// checkFailure holds the error with which an application ends against what it has to tell: the node, the record, the cause.
func checkFailure(t *testing.T, err error, node string, partition int32, offset int64, cause string) {
	t.Helper()
	var at *engine.NodeError
	if !errors.As(err, &at) {
		t.Fatalf("the application ended with %v, want a failure of node %s", err, node)
	}
	if at.Node != node || at.Partition != partition || at.Offset != offset || !strings.Contains(at.Error(), cause) {
		t.Errorf("the application ended with %q, want node %s, offset %d of partition %d and %q", at, node, offset, partition, cause)
	}
}

// header returns the value of a header, "" if there is none.
func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// adding sums up numbers by key, which is where bad records of the topic numbers come by.
func adding(t *testing.T, options ...streams.SourceOption) *Driver {
	topology := streams.NewTopology()
	streams.From(topology, numbers, options...).GroupByKey().
		Reduce(countStore, func(a, b int64) int64 { return a + b }).ToStream().To(sums)
	return New(t, topology, Options{Partitions: map[string]int{"numbers": 2}})
}

// undecodable is a record between two good ones: offset 1 of partition 1.
func undecodable(d *Driver) {
	Send(d, numbers, "k", 1, OnPartition(1))
	d.SendRecord(&kgo.Record{Topic: "numbers", Partition: 1, Key: []byte("k"), Value: []byte("three"), Timestamp: d.Now(),
		Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("17")}}})
	Send(d, numbers, "k", 2, OnPartition(1))
}

func TestARecordThatDoesNotDecodeEndsTheApplication(t *testing.T) {
	d := adding(t)
	undecodable(d)
	for range 2 { // it meets it again
		checkFailure(t, d.DrainError(), "numbers", 1, 1, "decode")
		if got := len(d.Records("sums")); got != 0 {
			t.Errorf("%d records are committed of a batch that failed", got)
		}
	}
}

func TestARecordThatDoesNotDecodeIsSkippedAndCounted(t *testing.T) {
	d := adding(t, streams.OnDecodeError(streams.Skip))
	undecodable(d)
	d.Drain()
	if got := Latest(d, sums)["k"]; got != 3 || d.Dropped("numbers", "decode") != 1 {
		t.Errorf("sum %d with %d records left out, want 3 with 1", got, d.Dropped("numbers", "decode"))
	}
}

func TestARecordThatDoesNotDecodeBecomesADeadLetter(t *testing.T) {
	d := adding(t, streams.OnDecodeError(streams.DeadLetter("dead")))
	d.CrashAt(Decided, 1)
	undecodable(d)
	d.Drain()
	letters := d.Records("dead")
	if got := Latest(d, sums)["k"]; got != 3 || len(letters) != 1 {
		t.Fatalf("sum %d and %d dead letters, want 3 and 1", got, len(letters))
	}
	letter := letters[0]
	if string(letter.Key) != "k" || string(letter.Value) != "three" || !letter.Timestamp.Equal(d.Now()) || header(letter, "trace") != "17" {
		t.Errorf("the dead letter is %q: %q at %v with %v, want the record as it came", letter.Key, letter.Value, letter.Timestamp, letter.Headers)
	}
	for key, want := range map[string]string{
		consumer.DeadLetterTopic: "numbers", consumer.DeadLetterPartition: "1", consumer.DeadLetterOffset: "1",
		streams.DeadLetterNode: "numbers",
	} {
		if got := header(letter, key); got != want {
			t.Errorf("header %s of the dead letter is %q, want %q", key, got, want)
		}
	}
	if got := header(letter, consumer.DeadLetterCause); !strings.Contains(got, "decode") {
		t.Errorf("the dead letter gives %q as its cause", got)
	}
}

// TestARecordWithoutATimeIsLikeOneThatDoesNotDecode: timestamp -1.
func TestARecordWithoutATimeIsLikeOneThatDoesNotDecode(t *testing.T) {
	timeless := func(d *Driver) {
		d.SendRecord(&kgo.Record{Topic: "numbers", Partition: 0, Key: []byte("k"), Value: make([]byte, 8), Timestamp: time.UnixMilli(-1)})
	}
	d := adding(t)
	timeless(d)
	checkFailure(t, d.DrainError(), "numbers", 0, 0, "timestamp -1")
	d = adding(t, streams.OnDecodeError(streams.Skip))
	timeless(d)
	d.Drain()
	if got := d.Dropped("numbers", "decode"); got != 1 {
		t.Errorf("%d records left out, want 1", got)
	}
}

func TestRecordsWithoutKeyOrValueAreLeftOutOfAggregatesAndCounted(t *testing.T) {
	d := adding(t)
	Send(d, numbers, "k", 1)
	Send(d, numbers, "", 1, NoKey())
	Delete(d, numbers, "k")
	Send(d, numbers, "k", 2)
	d.Drain()
	noKey, noValue := d.Dropped("counts", "null_key"), d.Dropped("counts", "null_value")
	if got := Latest(d, sums)["k"]; got != 3 || noKey != 1 || noValue != 1 {
		t.Errorf("sum %d, %d records without key and %d without value left out, want 3, 1 and 1", got, noKey, noValue)
	}
}

// TestAFunctionThatPanicsEndsTheApplication is about each kind of function that a user writes.
func TestAFunctionThatPanicsEndsTheApplication(t *testing.T) {
	explode := func(v int64) int64 {
		if v == 13 {
			panic("thirteen")
		}
		return v
	}
	for node, build := range map[string]func(s streams.Stream[string, int64]){
		"op-1": func(s streams.Stream[string, int64]) { streams.MapValues(s, explode).To(sums) },
		"counts": func(s streams.Stream[string, int64]) {
			s.GroupByKey().Reduce(countStore, func(a, b int64) int64 { return a + explode(b) }).ToStream().To(sums)
		},
		"parse": func(s streams.Stream[string, int64]) {
			streams.TryMapValues(s, "parse", func(v int64) (int64, error) { return explode(v), nil }, streams.Skip).To(sums)
		},
		"own": func(s streams.Stream[string, int64]) {
			streams.Process(s, "own", func() streams.Processor[string, int64, string, int64] { return exploding{explode} },
				streams.ProcessOptions{OnError: streams.Skip}).To(sums)
		},
	} {
		topology := streams.NewTopology()
		build(streams.From(topology, numbers))
		d := New(t, topology, Options{})
		Send(d, numbers, "k", 1)
		d.Drain()
		Send(d, numbers, "k", 2)
		Send(d, numbers, "k", 13)
		checkFailure(t, d.DrainError(), node, 0, 2, "thirteen")
		if got := len(d.Records("sums")); got != 1 {
			t.Errorf("%s: %d records are committed, want what came before the batch with the panic, 1", node, got)
		}
	}
}

type exploding struct{ explode func(int64) int64 }

func (e exploding) Process(ctx *streams.Context[string, int64], r streams.Record[string, int64]) error {
	r.Value = e.explode(r.Value)
	return ctx.Forward(r)
}

// TestAnErrorOfATryFollowsItsPolicy: fail, skip and dead letter, of an operator in the middle.
func TestAnErrorOfATryFollowsItsPolicy(t *testing.T) {
	run := func(policy streams.Policy) *Driver {
		topology := streams.NewTopology()
		streams.TryMapValues(streams.From(topology, texts), "parse", func(v string) (int64, error) {
			var n int64
			_, err := fmt.Sscanf(v, "%d", &n)
			return n, err
		}, policy).To(sums)
		d := New(t, topology, Options{})
		for _, v := range []string{"1", "two", "3"} {
			Send(d, texts, v, v)
		}
		return d
	}
	checkFailure(t, run(streams.Fail).DrainError(), "parse", 0, 1, "expected integer")
	for name, policy := range map[string]streams.Policy{"skip": streams.Skip, "dead letter": streams.DeadLetter("dead")} {
		d := run(policy)
		d.Drain()
		if got := Latest(d, sums); !maps.Equal(got, map[string]int64{"1": 1, "3": 3}) || d.Dropped("parse", "error") != 1 {
			t.Errorf("%s: output %v with %d records left out, want 1 and 3 with 1", name, got, d.Dropped("parse", "error"))
		}
		if name == "dead letter" {
			if letters := d.Records("dead"); len(letters) != 1 || string(letters[0].Value) != "two" || header(letters[0], streams.DeadLetterNode) != "parse" {
				t.Errorf("dead letters %v, want two", letters)
			}
		}
	}
}

// TestARecordThatIsTooLargeFollowsThePolicyOfItsSink is about what the broker would not take.
func TestARecordThatIsTooLargeFollowsThePolicyOfItsSink(t *testing.T) {
	run := func(policy streams.Policy) *Driver {
		topology := streams.NewTopology()
		streams.MapValues(streams.From(topology, texts), func(v string) string { return strings.Repeat(v, 100) }).
			To(out, streams.OnProduceError(policy))
		d := New(t, topology, Options{RecordBytesMax: 500})
		Send(d, texts, "small", "a")
		Send(d, texts, "large", "0123456789")
		return d
	}
	checkFailure(t, run(streams.Fail).DrainError(), "out", 0, 1, "large")
	d := run(streams.DeadLetter("dead"))
	d.Drain()
	if letters := d.Records("dead"); len(d.Records("out")) != 1 || len(letters) != 1 || string(letters[0].Value) != "0123456789" {
		t.Errorf("%d records and dead letters %v, want 1 and the one that became too large", len(d.Records("out")), letters)
	}
	if got := d.Dropped("out", "produce"); got != 1 {
		t.Errorf("%d records left out, want 1", got)
	}
}

func TestACodecThatChangedUnderAStoreIsRefused(t *testing.T) {
	d := adding(t)
	Send(d, numbers, "k", 7)
	d.Drain()
	topology := streams.NewTopology()
	store := state.NewKV("counts", serde.String, serde.Float64)
	streams.Aggregate(streams.From(topology, numbers).GroupByKey(), store, func() float64 { return 0 },
		func(_ string, v int64, sum float64) float64 { return sum + float64(v) }).ToStream()
	d.Deploy(topology)
	err := d.DrainError()
	if !errors.Is(err, state.ErrSpec) {
		t.Fatalf("the application ended with %v, want %v", err, state.ErrSpec)
	}
	for _, want := range []string{"counts", serde.Int64.Name(), serde.Float64.Name(), "another name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q does not say %q", err, want)
		}
	}
}

// TestAFullDiskLosesNothing fills the disk while state is written, makes room, and goes on.
func TestAFullDiskLosesNothing(t *testing.T) {
	d := counting(t, Options{FlushRecords: 1, CommitEvery: 4})
	sendWords(d, 40)
	d.Drain()
	d.FailDisks(syscall.ENOSPC)
	sendWords(d, 40)
	err := d.DrainError()
	for range 10 { // it may take some commits until one has to write
		if err != nil {
			break
		}
		sendWords(d, 0)
		d.Stop()
		err = d.DrainError()
	}
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "counts") {
		t.Errorf("the application ended with %v, want %v and where", err, syscall.ENOSPC)
	}
	d.Crash() // which makes no room
	if again := d.DrainError(); again == nil {
		t.Error("the application runs with a full disk")
	}
	d.FailDisks(nil)
	d.Drain()
	checkWords(t, d, 80)
}

func TestAChangelogThatWasCreatedAnewWipesTheState(t *testing.T) {
	d := adding(t)
	Send(d, numbers, "k", 7)
	d.Drain()
	d.Recreate(d.Changelog("counts"))
	Send(d, numbers, "k", 1)
	d.Drain()
	if got := Latest(d, sums)["k"]; got != 1 {
		t.Errorf("sum %d, want 1: the changelog is the truth, and it has forgotten", got)
	}
	if why := d.Wiped(); len(why) == 0 || !strings.Contains(why[0], "created anew") || !strings.Contains(why[0], d.Changelog("counts")) {
		t.Errorf("wiped because of %q, want the topic and what happened to it", why)
	}
}

func TestAChangelogThatWasTruncatedWipesTheState(t *testing.T) {
	d := adding(t)
	Send(d, numbers, "k", 7, OnPartition(1))
	d.Drain()
	d.Stop()
	Send(d, numbers, "k", 2, OnPartition(1))
	d.Drain()
	d.Crash() // the local state has the first record of the changelog only
	Send(d, numbers, "k", 1, OnPartition(1))
	d.Truncate(d.Changelog("counts"), 1, -1)
	d.Drain()
	if got := Latest(d, sums)["k"]; got != 1 {
		t.Errorf("sum %d, want 1: what was cut off the changelog does not count any more", got)
	}
	if why := d.Wiped(); len(why) != 1 || !strings.Contains(why[0], d.Changelog("counts")+"/1 begins at offset 4") {
		t.Errorf("wiped because of %q, want the partition and what happened to it", why)
	}
}

// TestAChangelogOfWhichOnlyAMarkerIsLeftCostsNothing: the state contains all records that retention took.
func TestAChangelogOfWhichOnlyAMarkerIsLeftCostsNothing(t *testing.T) {
	d := adding(t)
	Send(d, numbers, "k", 7, OnPartition(1))
	d.Drain()
	d.Stop()
	Send(d, numbers, "k", 1, OnPartition(1))
	d.Truncate(d.Changelog("counts"), 1, -1)
	d.Drain()
	if got := Latest(d, sums)["k"]; got != 8 || len(d.Wiped()) > 0 {
		t.Errorf("sum %d, want 8; wiped because of %q", got, d.Wiped())
	}
}

func TestACommittedOffsetThatExpiredIsAnError(t *testing.T) {
	d := adding(t)
	Send(d, numbers, "k", 1, OnPartition(1))
	d.Drain()
	d.Stop()
	Send(d, numbers, "k", 1, OnPartition(1))
	Send(d, numbers, "k", 1, OnPartition(1))
	d.Truncate("numbers", 1, 2)
	err := d.DrainError()
	if err == nil || !strings.Contains(err.Error(), "numbers-1") || !strings.Contains(err.Error(), "offset 1") {
		t.Errorf("the application ended with %v, want what is lost: offset 1 of numbers-1", err)
	}
}

// TestWhatAProcessorKeepsOfARecordIsItsOwn: the memory of records is used again once they are committed; codecs copy.
func TestWhatAProcessorKeepsOfARecordIsItsOwn(t *testing.T) {
	blobs := streams.NewTopic("blobs", serde.Bytes, serde.Bytes)
	topology, kept := streams.NewTopology(), map[string]string{}
	streams.From(topology, blobs).Peek(func(key, value []byte) { kept[string(key)] = "" })
	var values [][]byte
	streams.From(topology, blobs).Peek(func(_, value []byte) { values = append(values, value) })
	d := New(t, topology, Options{CommitEvery: 1})
	for i := range 9 {
		Send(d, blobs, []byte{byte('a' + i)}, []byte{byte('A' + i)})
	}
	d.Drain()
	if got := string(bytes.Join(values, nil)); got != "ABCDEFGHI" || len(kept) != 9 {
		t.Errorf("kept %q and %d keys, want ABCDEFGHI and 9", got, len(kept))
	}
}
