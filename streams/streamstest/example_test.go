package streamstest_test

import (
	"fmt"
	"io"
	"testing"

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
	// Output:
	// map[be:2 not:1 or:1 to:2]
	// map[be:2 not:1 or:1 to:2]
}

// exampleTB is a test for an example, which has none of its own.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()           {}
func (exampleTB) Cleanup(func())    {}
func (exampleTB) Output() io.Writer { return io.Discard }
func (exampleTB) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
