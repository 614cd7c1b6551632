// Command wordcount counts the words of a poem: lines come in, the count of each word goes out whenever it changes.
//
//	go run ./examples/wordcount
package main

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strings"

	"github.com/millrace/millrace/examples/internal/stage"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	lines  = streams.NewTopic("lines", serde.Int64, serde.String)  // by their numbers
	words  = streams.NewTopic("words", serde.String, serde.String) // between the two halves, by word
	counts = streams.NewTopic("counts", serde.String, serde.Int64)
	store  = state.NewKV("word-counts", serde.String, serde.Int64)
)

func topology() *streams.Topology {
	t := streams.NewTopology()
	split := streams.FlatMapValues(streams.From(t, lines), strings.FieldsSeq)
	streams.GroupBy(split, words, func(_ int64, word string) string { return word }).
		Count(store).
		ToStream().To(counts)
	return t
}

func main() { stage.Main(example) }

var example = stage.Example{
	Name:  "wordcount",
	About: "Count the words of a poem with a stream topology, and check the counts against a plain loop.",
	Count: 50_000,
	Run:   run,
}

func run(ctx context.Context, s *stage.Stage) error {
	if err := s.CreateTopics(ctx, 4, lines.Name(), counts.Name()); err != nil {
		return err
	}
	if err := s.Produce(ctx, writtenDown(s)); err != nil {
		return err
	}
	app, err := streams.New(topology(), streams.Config{App: "wordcount", Brokers: s.Brokers, StateDir: s.StateDir()})
	if err != nil {
		return err
	}
	want, total := countAtOnce(s.Seed, s.Count)
	if err := stage.While(ctx, app.Run, func(ctx context.Context) error {
		if err := s.Await(ctx, counts.Name(), total); err != nil {
			return err
		}
		return askFor(ctx, s, app, "heaven", want["heaven"])
	}); err != nil {
		return err
	}
	return check(ctx, s, want)
}

// askFor asks the running application for the count of a word.
func askFor(ctx context.Context, s *stage.Stage, app *streams.App, word string, want int64) error {
	return stage.Until(ctx, func() (bool, error) {
		count, _, err := streams.Get(ctx, app, store, word)
		if err != nil || count < want {
			return false, err
		}
		s.Say("%s: %d", word, count)
		return true, nil
	})
}

// writtenDown is the poem as records.
func writtenDown(s *stage.Stage) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		for i := range s.Count {
			if !yield(lines.Record(i, poem(s.Seed, i))) {
				return
			}
		}
	}
}

// check reads all counts: each word's go 1, 2, 3 ... up to what a plain loop counts, if each was counted exactly once.
func check(ctx context.Context, s *stage.Stage, want map[string]int64) error {
	got, updates := map[string]int64{}, int64(0)
	for r, err := range s.All(ctx, counts.Name()) {
		if err != nil {
			return err
		}
		word, count, err := counts.Decode(r)
		if err != nil || count != got[word]+1 {
			return fmt.Errorf("%q was counted %d after %d: %v", word, count, got[word], err)
		}
		got[word] = count
		updates++
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("counted %v, not %v", got, want)
	}
	s.Verified("lines=%d words=%d distinct=%d lost=0 duplicated=0", s.Count, updates, len(got))
	return nil
}
