package streams_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

// lineCounter counts whole lines, in the partition where they are.
type lineCounter struct{ counter }

func (c *lineCounter) Process(ctx *streams.Context[string, int64], r streams.Record[string, string]) error {
	r.Key = r.Value
	return c.counter.Process(ctx, r)
}

func countingLines() *streams.Topology {
	t := streams.NewTopology()
	streams.Process(streams.From(t, lines), "count", func() streams.Processor[string, string, string, int64] {
		return &lineCounter{}
	}, streams.ProcessOptions{Stores: []state.Store{wordStore}}).To(counts)
	return t
}

// checkCheckpoint opens a checkpoint, and fails the test unless it counts just the first lines of each partition that it says. Line i is
// word i%words, in partition i%partitions. It returns how many lines those are.
func checkCheckpoint(t *testing.T, dir string, partitions, words int) (lines int64) {
	t.Helper()
	c, err := streams.OpenCheckpoint(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	want, got := map[string]int64{}, map[string]int64{}
	inputs := c.Inputs()
	if len(inputs) != partitions {
		t.Fatalf("inputs %+v", inputs)
	}
	for partition, input := range inputs {
		if input.Topic != "lines" || input.Partition != int32(partition) {
			t.Fatalf("inputs %+v", inputs)
		}
		for i := range input.Next {
			want[fmt.Sprintf("word-%d", (int(i)*partitions+partition)%words)]++
		}
		lines += input.Next
	}
	for row, err := range streams.Range(t.Context(), c, wordStore, nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		got[row.Key] += row.Value
	}
	if !maps.Equal(got, want) {
		t.Errorf("up to %+v it counts %v, not %v", inputs, got, want)
	}
	return lines
}

// Checkpoints of an application that is busy have of each partition what came of a prefix of its input, and nothing else.
func TestACheckpointIsACommittedPrefix(t *testing.T) {
	const partitions, words, each = 2, 7, 1000
	c := newCluster(t)
	c.wordTopics(partitions)
	app := c.run(countingLines(), streams.Config{})
	c.eventually("it runs", func() bool { return app.State() == streams.Running })
	sent, seen := 0, int64(0)
	elsewhere := t.TempDir()
	for round := range 4 {
		var records []*kgo.Record
		for range each {
			records = append(records, &kgo.Record{Topic: "lines", Partition: int32(sent % partitions), Value: fmt.Appendf(nil, "word-%d", sent%words),
				Timestamp: time.UnixMilli(int64(sent))})
			sent++
		}
		c.send(records...)
		dir := filepath.Join(elsewhere, fmt.Sprint(round))
		if err := app.Checkpoint(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		lines := checkCheckpoint(t, dir, partitions, words)
		if lines < seen || lines > int64(sent) {
			t.Errorf("%d lines after %d, of %d", lines, seen, sent)
		}
		seen = lines
	}
	c.eventually("all lines in a checkpoint", func() bool {
		dir := filepath.Join(elsewhere, "last")
		if err := app.Checkpoint(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		return checkCheckpoint(t, dir, partitions, words) == int64(sent)
	})
	app.mustStop()
}

// The first commit after a restart need not have come for a checkpoint to know where it is.
func TestACheckpointAfterARestart(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	c.sendWords(1, 3, 0, 30)
	for range 2 {
		app := c.run(countingLines(), streams.Config{})
		c.eventually("all is counted", func() bool {
			n, _, err := streams.Get(t.Context(), app.App, wordStore, "word-2")
			return err == nil && n == 10
		})
		dir := filepath.Join(t.TempDir(), "checkpoint")
		if err := app.Checkpoint(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if lines := checkCheckpoint(t, dir, 1, 3); lines != 30 {
			t.Errorf("%d lines", lines)
		}
		app.mustStop()
	}
}

func TestCheckpointsThatCannotBe(t *testing.T) {
	c := newCluster(t)
	c.wordTopics(1)
	c.sendWords(1, 3, 0, 30)
	app := c.run(countingLines(), streams.Config{})
	c.awaitCounts(3, 30)
	there, dir := t.TempDir(), filepath.Join(t.TempDir(), "checkpoint")
	if err := app.Checkpoint(t.Context(), there); !errors.Is(err, fs.ErrExist) {
		t.Errorf("where something is: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := app.Checkpoint(ended, dir); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	} else if err != nil {
		mustBeGone(t, dir)
	}
	if err := app.Checkpoint(t.Context(), filepath.Join(there, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	app.mustStop()
	if err := app.Checkpoint(t.Context(), dir+"-late"); !errors.Is(err, streams.ErrNotHere) {
		t.Errorf("after the end: %v", err)
	}
	mustBeGone(t, dir+"-late")

	if _, err := streams.OpenCheckpoint(there); err == nil || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("of what is none: %v", err)
	}
	opened, err := streams.OpenCheckpoint(filepath.Join(there, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := streams.OpenCheckpoint(filepath.Join(there, "checkpoint")); !errors.Is(err, state.ErrLocked) {
		t.Errorf("a second time: %v", err)
	}
	if _, found, err := streams.Get(t.Context(), opened, wordStore, "nothing"); found || err != nil {
		t.Errorf("a word that never came: %v, %v", found, err)
	}
	if n, found, err := streams.Get(t.Context(), opened, wordStore, "word-1"); n != 10 || !found || err != nil {
		t.Errorf("word-1: %d, %v, %v", n, found, err)
	}
	other := state.NewKV("others", serde.String, serde.Int64)
	if _, _, err := streams.Get(t.Context(), opened, other, "x"); err == nil || !strings.Contains(err.Error(), "has no store others") {
		t.Errorf("a store that there is not: %v", err)
	}
	wrong := state.NewKV(wordStore.Name(), serde.String, serde.String)
	if _, _, err := streams.Get(t.Context(), opened, wrong, "word-1"); !errors.Is(err, state.ErrSpec) {
		t.Errorf("with another codec: %v", err)
	}
	if err := opened.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := streams.Get(t.Context(), opened, wordStore, "word-1"); !errors.Is(err, state.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func mustBeGone(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
}
