package streamstest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/streams"
)

// TestDisturbancesChangeNothing runs each topology twice with the same input: once straight through, once with other batches, commits,
// caches, processes and orders of tasks, and with crashes, aborts, lost answers, pauses, lost disks and tasks that move. What is
// committed, and what is in the stores, has to be the same.
func TestDisturbancesChangeNothing(t *testing.T) {
	for _, s := range slices.Concat(subjects, windowSubjects) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(r *rapid.T) { s.check(t, r) })
		})
	}
}

func (s subject) check(t *testing.T, r *rapid.T) {
	rounds := make([][]sent, rapid.IntRange(1, 3).Draw(r, "rounds"))
	for i := range rounds {
		rounds[i] = s.records(r, i)
	}
	calm := s.run(t, r, Options{BatchMax: 1000}, rounds, func(*Driver, int) {})
	options := Options{
		Seed:         rapid.Uint64().Draw(r, "seed"),
		BatchMax:     rapid.IntRange(1, 20).Draw(r, "batch"),
		CommitEvery:  rapid.IntRange(0, 30).Draw(r, "commit every"),
		Processes:    rapid.IntRange(1, 3).Draw(r, "processes"),
		CacheBytes:   rapid.SampledFrom([]int64{0, 1, 500}).Draw(r, "cache"),
		FlushRecords: rapid.SampledFrom([]int{0, 1, 7}).Draw(r, "flush"),
	}
	disturbed := s.run(t, r, options, rounds, func(d *Driver, round int) { disturb(r, d) })
	for what, want := range calm {
		if got := disturbed[what]; got != want {
			r.Fatalf("%s, undisturbed:\n%s\n%s, disturbed:\n%s", what, want, what, got)
		}
	}
}

// run returns what can be seen after the input, in words.
func (s subject) run(t *testing.T, r *rapid.T, options Options, rounds [][]sent, disturb func(*Driver, int)) map[string]string {
	topology := streams.NewTopology()
	s.build(topology)
	options.Partitions = s.partitions
	d := New(rapidTB{T: t, r: r}, topology, options)
	defer d.close()
	for i, records := range rounds {
		for _, one := range records {
			one.send(d)
		}
		disturb(d, i)
		d.Drain()
		d.Thaw()
		d.Drain()
	}
	d.calm()
	s.nudge(d)
	seen := map[string]string{}
	for topic, depends := range s.outputs {
		seen["topic "+topic] = render(d.Records(topic), depends)
	}
	d.Stop()
	seen["stores"] = d.storeBytes(s.stores)
	return seen
}

// nudge gives each task a record that changes nothing, and with it a commit: what has expired meanwhile goes with the next one.
func (s subject) nudge(d *Driver) {
	for _, topic := range s.inputs {
		for partition := range d.topic(topic).Partitions {
			d.SendRecord(&kgo.Record{Topic: topic, Partition: int32(partition), Timestamp: d.options.Start})
		}
	}
	d.Drain()
}

// calm forgets the faults that have not happened, and brings all tasks up, so that all state is where it belongs.
func (d *Driver) calm() {
	d.faults = nil
	for _, p := range d.processes {
		p.disk.arm(0)
	}
	d.Thaw()
	d.Drain()
	d.must(d.start())
}

// disturb draws what goes wrong in a round.
func disturb(r *rapid.T, d *Driver) {
	for range rapid.IntRange(0, 3).Draw(r, "disturbances") {
		n := rapid.IntRange(1, 6).Draw(r, "n")
		switch rapid.SampledFrom([]string{"crash", "abort", "answer", "freeze", "step", "move", "lose disks", "compact", "stop"}).Draw(r, "what") {
		case "crash":
			d.CrashAt(rapid.SampledFrom(Points()).Draw(r, "point"), n)
		case "abort":
			d.AbortAt(rapid.SampledFrom([]Point{Processing, Prepared, OffsetsSent}).Draw(r, "point"), n)
		case "answer":
			d.LoseAnswer(rapid.Bool().Draw(r, "committed"), n)
		case "freeze":
			if d.options.Processes > 1 {
				d.FreezeAt(rapid.SampledFrom([]Point{Processing, Prepared, OffsetsSent, Decided, Applied}).Draw(r, "point"), n)
			}
		case "step":
			for range n {
				d.Step()
			}
		case "move":
			task := rapid.SampledFrom(d.tasks()).Draw(r, "task")
			to := rapid.IntRange(0, d.options.Processes-1).Draw(r, "to")
			if !d.processes[to].frozen {
				d.Move(task.Subtopology, int(task.Partition), to)
			}
		case "lose disks":
			d.LoseDisks()
		case "compact":
			for _, sub := range d.program.Subtopologies {
				for _, store := range sub.Stores {
					d.Compact(d.Changelog(store.Name))
				}
			}
		case "stop":
			d.Stop()
		}
	}
}

// render writes records out as far as they do not depend on the order of tasks.
func render(records []*kgo.Record, depends order) string {
	lines := make([]string, len(records))
	last := map[string]int{}
	for i, r := range records {
		value := "nothing"
		if r.Value != nil {
			value = fmt.Sprintf("%q", r.Value)
		}
		lines[i] = fmt.Sprintf("%d: %q = %s", r.Partition, r.Key, value)
		if depends == exact {
			lines[i] += fmt.Sprintf(" at %d %v", r.Timestamp.UnixMilli(), r.Headers)
		}
		last[string(r.Key)] = i
	}
	switch depends {
	case final:
		var kept []string
		for _, i := range last {
			kept = append(kept, lines[i])
		}
		lines = kept
		slices.Sort(lines)
	case perKey:
		key := func(line string) string { before, _, _ := strings.Cut(line, " = "); return before }
		slices.SortStableFunc(lines, func(a, b string) int { return cmp.Compare(key(a), key(b)) })
	}
	return strings.Join(lines, "\n")
}

// rapidTB is a test in which rapid looks for the smallest failure.
type rapidTB struct {
	*testing.T
	r *rapid.T
}

func (t rapidTB) Fatal(args ...any)                 { t.r.Fatal(args...) }
func (t rapidTB) Fatalf(format string, args ...any) { t.r.Fatalf(format, args...) }
func (t rapidTB) Errorf(format string, args ...any) { t.r.Errorf(format, args...) }
func (t rapidTB) Helper()                           {}
func (t rapidTB) Cleanup(func())                    {}
