package streamstest_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
)

var (
	lines      = streams.NewTopic("lines", serde.String, serde.String)
	byWord     = streams.NewTopic("by-word", serde.String, serde.String)
	wordCounts = streams.NewTopic("word-counts", serde.String, serde.Int64)
	counts     = state.NewKV("counts", serde.String, serde.Int64)
)

// wordCount is the topology under test: lines of one word, counted by word.
func wordCount() *streams.Topology {
	t := streams.NewTopology()
	streams.GroupBy(streams.From(t, lines), byWord, func(_, word string) string { return word }).
		Count(counts).ToStream().To(wordCounts)
	return t
}

// A topology in a test: three partitions of the input, two processes, and a crash in the middle of a commit.
func ExampleNew() {
	t := exampleTB{} // in a test, its *testing.T

	d := streamstest.New(t, wordCount(), streamstest.Options{
		Partitions: map[string]int{"lines": 3},
		Processes:  2,
	})
	defer d.Stop()

	d.CrashAt(streamstest.Decided, 1) // Kafka has committed, the process is gone before it hears of it
	for i, word := range []string{"to", "be", "or", "not", "to", "be"} {
		streamstest.Send(d, lines, fmt.Sprint("line ", i), word)
	}
	d.Drain()

	fmt.Println(streamstest.KV(d, counts))
	fmt.Println(streamstest.Latest(d, wordCounts))
	fmt.Println("crashes:", d.Faults())
	// Output:
	// map[be:2 not:1 or:1 to:2]
	// map[be:2 not:1 or:1 to:2]
	// crashes: 1
}

// The clock stands still until the test moves it.
func ExampleDriver_Advance() {
	t := exampleTB{} // in a test, its *testing.T
	topology := streams.NewTopology()
	streams.Process(streams.From(topology, lines), "heartbeat", func() streams.Processor[string, string, string, string] {
		return heartbeat{}
	}, streams.ProcessOptions{}).To(byWord)

	d := streamstest.New(t, topology, streamstest.Options{})
	defer d.Stop()
	d.Drain()
	d.Advance(59 * time.Second)
	fmt.Println(len(streamstest.Read(d, byWord)))
	d.Advance(time.Second)
	for _, record := range streamstest.Read(d, byWord) {
		fmt.Println(record.Key, record.Value)
	}
	// Output:
	// 0
	// alive at 00:01:00
}

// heartbeat forwards a record every minute.
type heartbeat struct{}

func (heartbeat) Init(ctx *streams.Context[string, string]) error {
	ctx.Schedule(streams.WallClock, time.Minute, func(ctx *streams.Context[string, string], now time.Time) error {
		return ctx.Forward(streams.Record[string, string]{Key: "alive", Value: "at " + now.UTC().Format(time.TimeOnly)})
	})
	return nil
}

func (heartbeat) Process(*streams.Context[string, string], streams.Record[string, string]) error {
	return nil
}

// The same topology with any course of events: whichever task comes first, however large the batches are.
func ExampleOptions_seed() {
	t := exampleTB{} // in a test, its *testing.T
	for seed := range uint64(20) {
		d := streamstest.New(t, wordCount(), streamstest.Options{
			Partitions:  map[string]int{"lines": 3},
			Seed:        seed,
			BatchMax:    2,
			CommitEvery: 3,
		})
		d.CrashAt(streamstest.Points()[seed%uint64(len(streamstest.Points()))], 2)
		for i := range 12 {
			streamstest.Send(d, lines, fmt.Sprint("line ", i), "word")
		}
		d.Drain()
		if n, _ := streamstest.Get(d, counts, "word"); n != 12 {
			fmt.Printf("seed %d: counted %d, want 12\n", seed, n)
		}
		d.Stop()
	}
	// Output:
}

// exampleTB is a test for an example, which has none of its own.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()           {}
func (exampleTB) Cleanup(func())    {}
func (exampleTB) Output() io.Writer { return io.Discard }
func (exampleTB) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
