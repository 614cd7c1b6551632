package streams_test

import (
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

var (
	perSession = streams.NewTopic("per-session", serde.Windowed(serde.String), serde.String)
	inSessions = state.NewSession("in-sessions", serde.String, serde.String)
)

// joinIn puts entries together in sessions, with the late ones in a topic of their own.
func joinIn(of windows.Session, emission windows.Emission) *streams.Topology {
	top := streams.NewTopology()
	w := streams.From(top, entries).GroupByKey().Sessions(of).Emit(emission)
	w.Late().To(tooLate)
	streams.WindowsToStream(w.Reduce(inSessions, func(all, word string) string { return all + "+" + word })).To(perSession)
	return top
}

func TestSessionsGrowAndMerge(t *testing.T) {
	d := streamstest.New(t, joinIn(windows.Sessions(10*ms).Grace(100*ms), windows.OnUpdate), streamstest.Options{})
	send(d, entries, "k=a@20", "k=b@30", "k=same@25", "k=c@41", "k=d@60", "other=x@30")
	expect(t, d, perSession,
		in("k", 20, 20)+"=a@20",
		in("k", 20, 20)+"=-@20", in("k", 20, 30)+"=a+b@30",
		in("k", 20, 30)+"=a+b+same@30", // a session that stays as it is needs no deletion
		in("k", 41, 41)+"=c@41",
		in("k", 60, 60)+"=d@60",
		in("other", 30, 30)+"=x@30",
	)
	send(d, entries, "k=bridge@50") // 10 from both
	got := read(d, perSession)[7:]
	want := []string{in("k", 41, 41) + "=-@41", in("k", 60, 60) + "=-@60", in("k", 41, 60) + "=c+d+bridge@60"}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSessionsThatEmitOnClose(t *testing.T) {
	d := streamstest.New(t, joinIn(windows.Sessions(10*ms).Grace(5*ms), windows.OnClose), streamstest.Options{})
	send(d, entries, "k=a@1", "k=b@9", "j=c@9", "k=d@24") // the first end at 9 and close behind 24
	expect(t, d, perSession)
	send(d, entries, "k=e@25")
	closed := []string{in("j", 9, 9) + "=c@9", in("k", 1, 9) + "=a+b@9"}
	expect(t, d, perSession, closed...)
	send(d, entries, "k=f@15", "k=late@4", "z=end@100")
	expect(t, d, perSession, append(closed, in("k", 15, 25)+"=d+e+f@25")...)
	expect(t, d, tooLate, "k=late@4")
	expectDropped(t, d, "in-sessions", "late", 1)
}

// What is closed has been passed on: a record that would have extended it, and is not late itself, begins a session of its own.
func TestAClosedSessionIsFinal(t *testing.T) {
	for _, keep := range []time.Duration{0, time.Hour} {
		top := streams.NewTopology()
		w := streams.From(top, entries).GroupByKey().Sessions(windows.Sessions(10 * ms)).Emit(windows.OnClose)
		streams.WindowsToStream(w.Reduce(inSessions.WithRetention(keep), func(all, word string) string { return all + "+" + word })).To(perSession)

		d := streamstest.New(t, top, streamstest.Options{})
		send(d, entries, "k=a@5", "x=time@16", "k=b@8", "k=c@15", "x=end@100")
		expect(t, d, perSession, in("k", 5, 5)+"=a@5", in("k", 8, 15)+"=b+c@15", in("x", 16, 16)+"=time@16")
	}
}

func TestCountAndAggregateInSessions(t *testing.T) {
	top := streams.NewTopology()
	lengths := streams.NewTopic("lengths", serde.Windowed(serde.String), serde.Int64)
	w := streams.From(top, entries).GroupByKey().Sessions(windows.Sessions(10 * ms)).Emit(windows.OnClose)
	streams.WindowsToStream(w.Count(state.NewSession("totals", serde.String, serde.Int64))).To(perWindow)
	streams.WindowsToStream(streams.AggregateSessions(w, state.NewSession("lengths-store", serde.String, serde.Int64),
		func() int64 { return 100 },
		func(_, word string, sum int64) int64 { return sum + int64(len(word)) },
		func(_ string, a, b int64) int64 { return a + b })).To(lengths)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "k=one@1", "k=three@21", "k=seven@11", "z=end@100")
	expect(t, d, perWindow, in("k", 1, 1)+"=1@1", in("k", 11, 21)+"=2@21")
	expect(t, d, lengths, in("k", 1, 1)+"=103@1", in("k", 11, 21)+"=110@21")
}

func TestSessionsLeaveOutWhatTheyCannotTake(t *testing.T) {
	d := streamstest.New(t, joinIn(windows.Sessions(10*ms).MaxAhead(time.Hour), windows.OnUpdate), streamstest.Options{Start: time.UnixMilli(1000)})
	send(d, entries, "-=x@100", "k=-@100", "k=future@3601001", "k=x@5")
	expect(t, d, perSession, in("k", 5, 5)+"=x@5")
	expect(t, d, tooLate, "k=future@3601001")
	for _, reason := range []string{"null_key", "null_value", "ahead"} {
		expectDropped(t, d, "in-sessions", reason, 1)
	}
}

func TestIdleSessionsCloseByTheWallClock(t *testing.T) {
	d := streamstest.New(t, joinIn(windows.Sessions(time.Second).Idle(5*time.Second), windows.OnClose), streamstest.Options{})
	send(d, entries, "k=a@1000", "j=b@2000")
	d.Advance(4 * time.Second)
	expect(t, d, perSession)
	d.Advance(time.Second)
	expect(t, d, perSession, in("k", 1000, 1000)+"=a@1000", in("j", 2000, 2000)+"=b@2000")
}
