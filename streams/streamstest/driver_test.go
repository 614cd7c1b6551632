package streamstest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

var countStore = state.NewKV("counts", serde.String, serde.Int64)

// counting starts the word count, with three partitions of texts and of words.
func counting(t testing.TB, options Options) *Driver {
	t.Helper()
	topology := streams.NewTopology()
	streams.GroupBy(streams.From(topology, texts), byWord.WithPartitions(3), func(_, v string) string { return v }).
		Count(countStore).ToStream().To(sums)
	options.Partitions = map[string]int{"texts": 3, "sums": 3}
	return New(t, topology, options)
}

// sendWords sends so many words, of which there are four, one after the other.
func sendWords(d *Driver, n int) {
	for i := range n {
		Send(d, texts, fmt.Sprint("line ", i), string('a'+rune(i%4)))
	}
}

// checkWords holds store and output against the number of words that were sent.
func checkWords(t *testing.T, d *Driver, n int64) {
	t.Helper()
	want := map[string]int64{"a": n / 4, "b": n / 4, "c": n / 4, "d": n / 4}
	if got := KV(d, countStore); !maps.Equal(got, want) {
		t.Errorf("the store has %v, want %v", got, want)
	}
	seen := map[string]int64{}
	for _, r := range Read(d, sums) {
		if seen[r.Key]++; r.Value != seen[r.Key] {
			t.Errorf("count %d of %s came as number %d", r.Value, r.Key, seen[r.Key])
		}
	}
	if !maps.Equal(seen, want) {
		t.Errorf("the output has %v records, want %v", seen, want)
	}
}

func TestKeysOfAllPartitionsMeetBehindARepartition(t *testing.T) {
	d := counting(t, Options{Processes: 2})
	sendWords(d, 40)
	d.Drain()
	checkWords(t, d, 40)
	partitions := map[int32]int{}
	for _, r := range d.Records("by-word") {
		partitions[r.Partition]++
	}
	if len(partitions) < 2 {
		t.Errorf("the words are in partitions %v, want them spread", partitions)
	}
	if value, found := Get(d, countStore, "a"); !found || value != 10 {
		t.Errorf("a is counted %d times (%v), want 10", value, found)
	}
}

// crashOptions make each point come up often: commits and writes to the disk after a few records.
var crashOptions = Options{CommitEvery: 5, BatchMax: 3, FlushRecords: 1, Processes: 2}

func TestACrashAtAnyPointIsNotSeen(t *testing.T) {
	for _, point := range Points() {
		for n := 1; n <= 4; n++ {
			t.Run(fmt.Sprintf("%v %d", point, n), func(t *testing.T) {
				d := counting(t, crashOptions)
				if point == Starting {
					d.Crash()
				}
				d.CrashAt(point, n)
				sendWords(d, 40)
				d.Drain()
				if point == Starting && n > 2 {
					d.Crash() // two processes start twice
					d.Drain()
				}
				checkWords(t, d, 40)
				if d.Faults() == 0 {
					t.Error("the crash did not happen")
				}
			})
		}
	}
}

func TestAnAbortAtAnyPointIsNotSeen(t *testing.T) {
	for _, point := range []Point{Processing, Prepared, OffsetsSent} {
		d := counting(t, crashOptions)
		d.AbortAt(point, 2)
		sendWords(d, 40)
		d.Drain()
		checkWords(t, d, 40)
		if d.Faults() != 1 {
			t.Errorf("%d aborts at %q, want 1", d.Faults(), point)
		}
	}
}

func TestALostAnswerToACommitIsFoundOut(t *testing.T) {
	for _, committed := range []bool{false, true} {
		d := counting(t, crashOptions)
		d.LoseAnswer(committed, 2)
		sendWords(d, 40)
		d.Drain()
		checkWords(t, d, 40)
		if d.Faults() != 1 {
			t.Errorf("%d answers were lost, want 1", d.Faults())
		}
	}
}

func TestAZombieChangesNothing(t *testing.T) {
	for _, point := range []Point{Processing, Prepared, OffsetsSent, Decided, Applying, Applied} {
		t.Run(point.String(), func(t *testing.T) {
			d := counting(t, crashOptions)
			d.FreezeAt(point, 3)
			sendWords(d, 40)
			d.Drain()
			d.Thaw()
			sendWords(d, 40)
			d.Drain()
			checkWords(t, d, 80)
			if d.Faults() != 1 {
				t.Errorf("%d processes stood still, want 1", d.Faults())
			}
		})
	}
}

// TestAZombieWithoutStateChangesNothing is about a transaction that has its offsets and only waits for its end: who takes over has no
// changelog that would make it wait, only the offsets.
func TestAZombieWithoutStateChangesNothing(t *testing.T) {
	topology := streams.NewTopology()
	streams.From(topology, texts).To(out)
	d := New(t, topology, Options{Processes: 2})
	d.FreezeAt(OffsetsSent, 1)
	Send(d, texts, "k", "once")
	d.Drain()
	d.Thaw()
	d.Drain()
	if got := Read(d, out); len(got) != 1 || d.Faults() != 1 {
		t.Errorf("read %v after %d pauses, want the record once after one", got, d.Faults())
	}
}

// TestAJoinTakesItsInputsByTime sends the later record first: the stream's record finds the table as it was at its time.
func TestAJoinTakesItsInputsByTime(t *testing.T) {
	for seed := range uint64(10) {
		topology := streams.NewTopology()
		table := streams.TableFrom(topology, others, state.NewKV("others", serde.String, serde.String))
		streams.Join(streams.From(topology, texts), table, func(v, row string) string { return v + " " + row }).To(out)
		d := New(t, topology, Options{Seed: seed, BatchMax: 1})
		Send(d, others, "k", "new", At(d.Now().Add(2*time.Second)))
		Send(d, texts, "k", "last", At(d.Now().Add(3*time.Second)))
		d.Drain()
		Send(d, others, "k", "newer", At(d.Now().Add(6*time.Second)))
		Send(d, texts, "k", "before", At(d.Now().Add(5*time.Second)))
		d.Drain()
		if got := Read(d, out); len(got) != 2 || got[0].Value != "last new" || got[1].Value != "before new" {
			t.Errorf("seed %d: joined %v, want each record with the row of its time", seed, got)
		}
	}
}

func TestWhatIsNotCommittedIsNotSeen(t *testing.T) {
	d := counting(t, Options{CommitEvery: 1000})
	sendWords(d, 4)
	for len(d.waiting()) > 0 || len(d.processes[0].tasks) == 0 {
		d.Step()
	}
	if got := len(d.Records("by-word")); got != 0 {
		t.Errorf("%d records are seen before the commit", got)
	}
	d.Commit()
	if got := len(d.Records("by-word")); got != 4 {
		t.Errorf("%d records are seen after the commit, want 4", got)
	}
}

// TestACrashCostsNoRestore is about a disk that survives: what it lacks is read again, not everything.
func TestACrashCostsNoRestore(t *testing.T) {
	d := counting(t, Options{FlushRecords: 1})
	sendWords(d, 40)
	d.Drain()
	d.Stop()
	before := d.Restored()
	d.Crash()
	checkWords(t, d, 40)
	if got := d.Restored() - before; got != 0 {
		t.Errorf("%d records were restored although all was on the disk", got)
	}
	d.LoseDisks()
	checkWords(t, d, 40)
	if got := d.Restored() - before; got == 0 {
		t.Error("nothing was restored although the disks were lost")
	}
	if len(d.Wiped()) > 0 {
		t.Errorf("state was wiped: %q", d.Wiped())
	}
}

func TestATaskMovesAndComesBack(t *testing.T) {
	d := counting(t, Options{Processes: 2, CommitEvery: 3})
	for i := range 4 {
		sendWords(d, 8)
		d.Step()
		d.Move("counts", 0, i%2)
		d.Move("counts", 1, i%2)
		d.Drain()
	}
	checkWords(t, d, 32)
}

// TestStateThatMissedDeletionsIsWiped moves a task away, deletes a key, waits until nothing tells of the deletion any more, and
// moves the task back to where the key is still on the disk.
func TestStateThatMissedDeletionsIsWiped(t *testing.T) {
	topology := streams.NewTopology()
	store := state.NewKV("rows", serde.String, serde.Int64)
	streams.TableFrom(topology, numbers, store).ToStream().To(sums)
	d := New(t, topology, Options{Processes: 2})
	Send(d, numbers, "gone", 1)
	Send(d, numbers, "kept", 2)
	d.Drain()
	d.Move("rows", 0, 1)
	Delete(d, numbers, "gone")
	d.Drain()
	d.Advance(25 * time.Hour)
	Send(d, numbers, "new", 3)
	d.Drain()
	d.Compact(d.Changelog("rows"))
	d.Move("rows", 0, 0)
	if got, want := KV(d, store), map[string]int64{"kept": 2, "new": 3}; !maps.Equal(got, want) {
		t.Errorf("the store has %v, want %v", got, want)
	}
	if why := d.Wiped(); len(why) != 1 || !strings.Contains(why[0], "delete.retention.ms") {
		t.Errorf("wiped because of %q, want delete.retention.ms", why)
	}
}

func TestWithoutTransactionsNothingIsLost(t *testing.T) {
	for _, point := range []Point{Processing, Prepared, OffsetsSent, Decided} {
		d := counting(t, Options{AtLeastOnce: true, CommitEvery: 5, BatchMax: 3})
		d.CrashAt(point, 3)
		sendWords(d, 40)
		d.Drain()
		for word, n := range KV(d, countStore) {
			if n < 10 {
				t.Errorf("crash at %q: %s is counted %d times, want 10 at least", point, word, n)
			}
		}
	}
}

func TestTheSeedDecidesTheCourse(t *testing.T) {
	course := func(seed uint64) (words []string) {
		d := counting(t, Options{Seed: seed, BatchMax: 2, Processes: 2})
		sendWords(d, 40)
		d.Drain()
		for _, r := range d.Records("by-word") {
			words = append(words, fmt.Sprintf("%d %d %s", r.Partition, r.Offset, r.Key))
		}
		return words
	}
	first := course(1)
	if !slices.Equal(first, course(1)) {
		t.Error("the same seed gives another course")
	}
	different := false
	for seed := uint64(2); seed < 20; seed++ {
		different = different || !slices.Equal(first, course(seed))
	}
	if !different {
		t.Error("eighteen other seeds give the same course")
	}
}

func TestOutputsKeepTimestampsAndHeaders(t *testing.T) {
	topology := streams.NewTopology()
	streams.MapValues(streams.From(topology, texts), strings.ToUpper).To(out)
	d := New(t, topology, Options{Partitions: map[string]int{"texts": 2, "out": 2}})
	at := d.Now().Add(-time.Hour)
	Send(d, texts, "k", "v", At(at), OnPartition(1), WithHeader("trace", "17"))
	Delete(d, texts, "gone")
	Send(d, texts, "", "keyless", NoKey())
	d.Drain()
	got := Read(d, out)
	i := slices.IndexFunc(got, func(r Record[string, string]) bool { return r.Key == "k" })
	if i < 0 || got[i].Value != "V" || !got[i].Timestamp.Equal(at) || len(got[i].Headers) != 1 || string(got[i].Headers[0].Value) != "17" {
		t.Errorf("read %+v, want V at %v with the header", got, at)
	}
	if !slices.ContainsFunc(got, func(r Record[string, string]) bool { return r.Key == "gone" && r.NoValue && r.Timestamp.Equal(d.Now()) }) {
		t.Errorf("read %+v, want the deletion, at the driver's time", got)
	}
	if !slices.ContainsFunc(got, func(r Record[string, string]) bool { return r.NoKey && r.Value == "KEYLESS" }) {
		t.Errorf("read %+v, want the record without a key", got)
	}
}

func TestASourceMayBeginAtTheEnd(t *testing.T) {
	topology := streams.NewTopology()
	streams.From(topology, texts, streams.FromEnd()).To(out)
	d := New(t, topology, Options{})
	Send(d, texts, "k", "before")
	d.Drain()
	Send(d, texts, "k", "after")
	d.Drain()
	if got := Latest(d, out); len(Read(d, out)) != 1 || got["k"] != "after" {
		t.Errorf("read %v, want what came after the start only", Read(d, out))
	}
}

func TestAnotherTopologyGoesOnWithTheState(t *testing.T) {
	d := counting(t, Options{})
	sendWords(d, 8)
	d.Drain()
	topology := streams.NewTopology()
	words := streams.From(topology, texts).Filter(func(_, v string) bool { return v != "b" })
	streams.GroupBy(words, byWord.WithPartitions(3), func(_, v string) string { return v }).Count(countStore).ToStream().To(sums)
	d.Deploy(topology)
	sendWords(d, 8)
	d.Drain()
	if got, want := KV(d, countStore), map[string]int64{"a": 4, "b": 2, "c": 4, "d": 4}; !maps.Equal(got, want) {
		t.Errorf("the store has %v, want %v", got, want)
	}
}

// TestMistakesOfTestsAreExplained is about what a test sees that asks for what there is not.
func TestMistakesOfTestsAreExplained(t *testing.T) {
	for want, mistake := range map[string]func(*Driver){
		"no topic nowhere: the topology has":          func(d *Driver) { d.Records("nowhere") },
		"no partition 7 of topic texts, which has 3":  func(d *Driver) { d.Truncate("texts", 7, 0) },
		"no store nothing: the topology has [counts]": func(d *Driver) { KV(d, state.NewKV("nothing", serde.String, serde.Int64)) },
		"no node nobody: the topology has":            func(d *Driver) { d.Dropped("nobody", "late") },
		"no reason whim: there are":                   func(d *Driver) { d.Dropped("counts", "whim") },
		"no process 4: Options.Processes is 1":        func(d *Driver) { d.Freeze(4) },
		"the last that works":                         func(d *Driver) { d.Freeze(0) },
		"no task counts/9: there are":                 func(d *Driver) { d.Move("counts", 9, 0) },
		"Options.Processes has to be 2 at least":      func(d *Driver) { d.FreezeAt(Processing, 1) },
		"committed by then":                           func(d *Driver) { d.AbortAt(Decided, 1) },
		"1 is the next":                               func(d *Driver) { d.CrashAt(Decided, 0) },
		"does not decode":                             func(d *Driver) { sendWords(d, 1); Read(d, streams.NewTopic("texts", serde.Int64, serde.Int64)) },
		"topic typo, which the topology neither": func(d *Driver) {
			topology := streams.NewTopology()
			streams.From(topology, texts).To(out)
			New(d.t, topology, Options{Partitions: map[string]int{"typo": 1}})
		},
	} {
		recorder := &recordingTB{T: t}
		d := counting(t, Options{})
		d.t = recorder
		func() {
			defer func() {
				if r := recover(); r != nil && !errors.Is(r.(error), io.EOF) {
					panic(r)
				}
			}()
			mistake(d)
		}()
		d.t = t
		if !strings.Contains(recorder.message, want) {
			t.Errorf("the test is told %q, want %q in it", recorder.message, want)
		}
	}
}

// recordingTB keeps what a test would end with.
type recordingTB struct {
	*testing.T
	message string
}

func (r *recordingTB) Fatal(args ...any) { r.message = fmt.Sprint(args...); panic(io.EOF) }
func (r *recordingTB) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	panic(io.EOF)
}
