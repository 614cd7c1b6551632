package streamstest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

var passed = streams.NewTopic("passed", serde.String, serde.String)

// TestAtLeastOnceRepeatsOnlyWhatIsNotCommitted draws courses of an application without transactions, with crashes, lost disks and tasks that
// move: no record is lost, for results or for stores, and none comes again that was committed when it came.
func TestAtLeastOnceRepeatsOnlyWhatIsNotCommitted(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		topology := streams.NewTopology()
		lines := streams.From(topology, texts)
		lines.To(passed)
		streams.GroupBy(lines, byWord.WithPartitions(3), func(_, v string) string { return v }).Count(countStore).ToStream().To(sums)
		d := New(rapidTB{T: t, r: r}, topology, Options{
			AtLeastOnce: true, Partitions: map[string]int{"texts": 3, "passed": 3, "sums": 2},
			Seed:         rapid.Uint64().Draw(r, "seed"),
			BatchMax:     rapid.IntRange(1, 20).Draw(r, "batch"),
			CommitEvery:  rapid.IntRange(0, 30).Draw(r, "commit every"),
			Processes:    rapid.IntRange(1, 3).Draw(r, "processes"),
			FlushRecords: rapid.SampledFrom([]int{0, 1, 7}).Draw(r, "flush"),
		})
		defer d.close()
		seen, words := map[string]int{}, map[string]int64{}
		for round := range rapid.IntRange(2, 4).Draw(r, "rounds") {
			before := seen
			for i := range rapid.IntRange(1, 40).Draw(r, "lines") {
				word := string('a' + rune(i%4))
				Send(d, texts, fmt.Sprintf("line %d of round %d", i, round), word)
				words[word]++
				before[fmt.Sprintf("line %d of round %d", i, round)] = 0
			}
			disturbAtLeastOnce(r, d)
			d.Drain()
			seen = map[string]int{}
			for _, record := range Read(d, passed) {
				seen[record.Key]++
			}
			for line, times := range before {
				if now := seen[line]; now == 0 || times > 0 && now != times {
					r.Fatalf("round %d: %s has come %d times, %d times before the round", round, line, now, times)
				}
			}
			latest, stored := Latest(d, sums), KV(d, countStore)
			for word, n := range words {
				if latest[word] < n || stored[word] < n {
					r.Fatalf("round %d: %s was sent %d times, counted %d and stored %d times", round, word, n, latest[word], stored[word])
				}
			}
		}
	})
}

// disturbAtLeastOnce draws what goes wrong in a round.
func disturbAtLeastOnce(r *rapid.T, d *Driver) {
	for range rapid.IntRange(0, 3).Draw(r, "disturbances") {
		n := rapid.IntRange(1, 6).Draw(r, "n")
		switch rapid.SampledFrom([]string{"crash", "step", "move", "lose disks", "compact", "stop"}).Draw(r, "what") {
		case "crash":
			d.CrashAt(rapid.SampledFrom(Points()).Draw(r, "point"), n)
		case "step":
			for range n {
				d.Step()
			}
		case "move":
			task := rapid.SampledFrom(d.tasks()).Draw(r, "task")
			d.Move(task.Subtopology, int(task.Partition), rapid.IntRange(0, d.options.Processes-1).Draw(r, "to"))
		case "lose disks":
			d.LoseDisks()
		case "compact":
			d.Compact(d.Changelog(countStore.Name()))
		case "stop":
			d.Stop()
		}
	}
}
