package streams_test

import (
	"maps"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

var (
	perWindow = streams.NewTopic("per-window", serde.Windowed(serde.String), serde.Int64)
	tooLate   = streams.NewTopic("too-late", serde.String, serde.String)
	inWindows = state.NewWindow("in-windows", serde.String, serde.Int64)
)

// countIn totals entries in windows, with the late ones in a topic of their own.
func countIn(of windows.Time, emission windows.Emission) *streams.Topology {
	top := streams.NewTopology()
	w := streams.From(top, entries).GroupByKey().Window(of).Emit(emission)
	w.Late().To(tooLate)
	streams.WindowsToStream(w.Count(inWindows)).To(perWindow)
	return top
}

// in is a key in a window as tests write it.
func in(key string, startMs, endMs int64) string {
	return windows.Key[string]{Key: key, Window: windows.Window{StartMs: startMs, EndMs: endMs}}.String()
}

const ms = time.Millisecond

func TestTumblingWindowsCountOnUpdate(t *testing.T) {
	d := streamstest.New(t, countIn(windows.Tumbling(10*ms).Grace(5*ms), windows.OnUpdate), streamstest.Options{})
	send(d, entries, "a=x@1", "a=x@9", "b=x@9", "a=x@10", "a=x@3", "a=x@14")
	expect(t, d, perWindow, in("a", 0, 10)+"=1@1", in("a", 0, 10)+"=2@9", in("b", 0, 10)+"=1@9",
		in("a", 10, 20)+"=1@10", in("a", 0, 10)+"=3@9", in("a", 10, 20)+"=2@14")
	expect(t, d, tooLate)
}

func TestAWindowTakesRecordsUntilItsGraceIsOver(t *testing.T) {
	d := streamstest.New(t, countIn(windows.Tumbling(10*ms).Grace(5*ms), windows.OnUpdate), streamstest.Options{})
	send(d, entries, "a=x@14", "a=in time@9", "a=x@15", "a=late@9", "b=late@0", "a=x@10")
	expect(t, d, perWindow, in("a", 10, 20)+"=1@14", in("a", 0, 10)+"=1@9", in("a", 10, 20)+"=2@15", in("a", 10, 20)+"=3@15")
	expect(t, d, tooLate, "a=late@9", "b=late@0")
	expectDropped(t, d, "in-windows", "late", 2)
}

func TestHoppingWindowsOverlap(t *testing.T) {
	d := streamstest.New(t, countIn(windows.Hopping(10*ms, 5*ms), windows.OnUpdate), streamstest.Options{})
	send(d, entries, "a=x@3", "a=x@12")
	expect(t, d, perWindow, in("a", 0, 10)+"=1@3", in("a", 5, 15)+"=1@12", in("a", 10, 20)+"=1@12")
	send(d, entries, "a=half@9") // [0, 10) is closed, [5, 15) is not
	expect(t, d, tooLate, "a=half@9")
	if got := read(d, perWindow); got[len(got)-1] != in("a", 5, 15)+"=2@12" {
		t.Errorf("the open window has not taken the record: %v", got)
	}
	expectDropped(t, d, "in-windows", "late", 1)
}

func TestWindowsThatEmitOnClose(t *testing.T) {
	d := streamstest.New(t, countIn(windows.Tumbling(10*ms).Grace(5*ms), windows.OnClose), streamstest.Options{})
	send(d, entries, "b=x@1", "a=x@2", "a=x@3", "a=x@12", "a=x@1")
	expect(t, d, perWindow)
	send(d, entries, "c=x@15") // closes [0, 10)
	closed := []string{in("a", 0, 10) + "=3@3", in("b", 0, 10) + "=1@1"}
	expect(t, d, perWindow, closed...)
	send(d, entries, "c=x@16", "a=late@5", "a=x@24")
	expect(t, d, perWindow, closed...)
	send(d, entries, "z=x@1000") // closes all there is, the oldest first
	closed = append(closed, in("a", 10, 20)+"=1@12", in("c", 10, 20)+"=2@16", in("a", 20, 30)+"=1@24")
	expect(t, d, perWindow, closed...)
}

func TestClosedWindowsAreEmittedOnceOverRestarts(t *testing.T) {
	for _, lose := range []bool{false, true} {
		d := streamstest.New(t, countIn(windows.Tumbling(10*ms), windows.OnClose), streamstest.Options{CommitEvery: 2})
		send(d, entries, "a=x@1", "a=x@11", "b=x@21")
		d.Stop()
		if lose {
			d.LoseDisks()
		}
		send(d, entries, "a=late@5", "a=x@29", "c=x@31", "c=x@45")
		expect(t, d, perWindow, in("a", 0, 10)+"=1@1", in("a", 10, 20)+"=1@11",
			in("a", 20, 30)+"=1@29", in("b", 20, 30)+"=1@21", in("c", 30, 40)+"=1@31")
		expect(t, d, tooLate, "a=late@5")
	}
}

func TestIdleWindowsCloseByTheWallClock(t *testing.T) {
	d := streamstest.New(t, countIn(windows.Tumbling(time.Minute).Idle(10*time.Second), windows.OnClose), streamstest.Options{})
	send(d, entries, "a=x@1000", "a=x@2000")
	d.Advance(9 * time.Second) // not idle yet
	expect(t, d, perWindow)
	d.Advance(40 * time.Second) // stream time is at 51 s
	expect(t, d, perWindow)
	d.Advance(9 * time.Second)
	expect(t, d, perWindow, in("a", 0, 60_000)+"=2@2000")
	send(d, entries, "a=late@59000", "a=x@60000")
	expect(t, d, tooLate, "a=late@59000")
	d.Advance(time.Minute)
	expect(t, d, perWindow, in("a", 0, 60_000)+"=2@2000", in("a", 60_000, 120_000)+"=1@60000")
}

func TestRecordsFromTheFutureDoNotMoveTime(t *testing.T) {
	start := time.UnixMilli(1_000_000)
	d := streamstest.New(t, countIn(windows.Tumbling(time.Second).MaxAhead(time.Minute), windows.OnUpdate), streamstest.Options{Start: start})
	send(d, entries, "a=x@1000000", "a=future@1060001", "a=x@1000001", "a=x@1060000")
	expect(t, d, perWindow, in("a", 1_000_000, 1_001_000)+"=1@1000000", in("a", 1_000_000, 1_001_000)+"=2@1000001",
		in("a", 1_060_000, 1_061_000)+"=1@1060000")
	expect(t, d, tooLate, "a=future@1060001")
	expectDropped(t, d, "in-windows", "ahead", 1)
}

func TestWindowsLeaveOutWhatLacksAKeyOrAValue(t *testing.T) {
	d := streamstest.New(t, countIn(windows.Tumbling(10*ms), windows.OnUpdate), streamstest.Options{})
	send(d, entries, "-=x@100", "a=-@100", "a=x@5") // neither moves time
	expect(t, d, perWindow, in("a", 0, 10)+"=1@5")
	expectDropped(t, d, "in-windows", "null_key", 1)
	expectDropped(t, d, "in-windows", "null_value", 1)
}

func TestReduceAndAggregateInWindows(t *testing.T) {
	top := streams.NewTopology()
	texts := streams.NewTopic("texts", serde.Windowed(serde.String), serde.String)
	lengths := streams.NewTopic("lengths", serde.Windowed(serde.String), serde.Int64)
	w := streams.From(top, entries).GroupByKey().Window(windows.Tumbling(10 * ms)).Emit(windows.OnClose)
	join := func(all, word string) string { return all + "+" + word }
	streams.WindowsToStream(w.Reduce(state.NewWindow("texts-store", serde.String, serde.String), join)).To(texts)
	streams.WindowsToStream(streams.AggregateWindows(w, state.NewWindow("lengths-store", serde.String, serde.Int64),
		func() int64 { return 100 },
		func(_, word string, sum int64) int64 { return sum + int64(len(word)) })).To(lengths)
	w.Late().To(tooLate)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "k=one@1", "k=three@2", "k=end@10", "k=late@9")
	expect(t, d, texts, in("k", 0, 10)+"=one+three@2")
	expect(t, d, lengths, in("k", 0, 10)+"=108@2")
	expect(t, d, tooLate, "k=late@9") // once, though two operators leave it out
}

// A record is in several windows, whose values are changed in place.
func TestHoppingReducersShareNothing(t *testing.T) {
	top := streams.NewTopology()
	lists := streams.NewTopic("lists", serde.String, serde.JSON[map[string]int]())
	sums := streams.NewTopic("sums", serde.Windowed(serde.String), serde.JSON[map[string]int]())
	w := streams.From(top, lists).GroupByKey().Window(windows.Hopping(20*ms, 10*ms))
	streams.WindowsToStream(w.Reduce(state.NewWindow("sums-store", serde.String, serde.JSON[map[string]int]()),
		func(sum, more map[string]int) map[string]int {
			for word, n := range more {
				sum[word] += n
			}
			return sum
		})).To(sums)

	d := streamstest.New(t, top, streamstest.Options{})
	for range 3 {
		streamstest.Send(d, lists, "k", map[string]int{"n": 1}, at(15))
	}
	d.Drain()
	for _, r := range streamstest.Read(d, sums)[4:] {
		if r.Value["n"] != 3 {
			t.Errorf("window %s has %v, want 3", r.Key, r.Value)
		}
	}
}

// TestChangelogsLastAsLongAsWindows: the changelog of a store is created by what its spec says. One that says less loses windows that
// are open, one that says nothing keeps closed windows for ever.
func TestChangelogsLastAsLongAsWindows(t *testing.T) {
	top := streams.NewTopology()
	g := streams.From(top, entries).GroupByKey()
	days := windows.Tumbling(48 * time.Hour).Grace(24 * time.Hour)
	for name, kept := range map[string]time.Duration{"default": 0, "short": time.Second, "long": 500 * time.Hour} {
		g.Window(days).Count(state.NewWindow(name, serde.String, serde.Int64).WithRetention(kept))
	}
	g.Sessions(windows.Sessions(48 * time.Hour)).Count(state.NewSession("visits", serde.String, serde.Int64))
	program, err := streams.Compile(top)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]time.Duration{}
	for _, spec := range program.Subtopologies[0].Stores {
		got[spec.Name] = time.Duration(spec.RetentionMs) * ms
	}
	want := map[string]time.Duration{"default": 72 * time.Hour, "short": 72 * time.Hour, "long": 500 * time.Hour, "visits": 48 * time.Hour}
	if !maps.Equal(got, want) {
		t.Errorf("the changelogs keep %v, want %v", got, want)
	}
}
