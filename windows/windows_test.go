package windows_test

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/windows"
	"pgregory.net/rapid"
)

// anyTimestamp draws from everywhere, often from the ends of the range.
func anyTimestamp(t *rapid.T) int64 {
	return rapid.OneOf(
		rapid.Int64Range(-20, 200),
		rapid.Int64Range(math.MaxInt64-200, math.MaxInt64),
		rapid.Int64Range(math.MinInt64, math.MinInt64+200),
		rapid.Int64(),
	).Draw(t, "timestamp")
}

func anyTime(t *rapid.T) windows.Time {
	every := rapid.Int64Range(1, 30).Draw(t, "every")
	size := rapid.Int64Range(every, 100).Draw(t, "size")
	grace := rapid.OneOf(rapid.Int64Range(0, 50), rapid.Just(int64(math.MaxInt64/int64(time.Millisecond)))).Draw(t, "grace")
	w := windows.Hopping(milliseconds(size), milliseconds(every)).Grace(milliseconds(grace))
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	return w
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// sum adds without a bound.
func sum(terms ...int64) *big.Int {
	total := new(big.Int)
	for _, term := range terms {
		total.Add(total, big.NewInt(term))
	}
	return total
}

func TestStartsAreAllWindowsThatContainATimestamp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, at := anyTime(t), anyTimestamp(t)
		got := map[int64]bool{}
		first, count, step := w.Starts(at)
		for i := range count {
			got[first+int64(i)*step] = true
		}
		if len(got) != count || step != w.EveryMs() {
			t.Fatalf("%v at %d: %d windows from %d, every %d", w, at, count, first, step)
		}
		if at < 0 {
			if count != 0 {
				t.Fatalf("%v at %d: %d windows", w, at, count)
			}
			return
		}
		// All starts that could come into question, one by one.
		for offset := int64(0); offset <= w.SizeMs()+w.EveryMs() && offset <= at; offset++ {
			start := at - offset
			contains := start%w.EveryMs() == 0 && sum(start, w.SizeMs()).Cmp(sum(at)) > 0
			if contains != got[start] {
				t.Fatalf("%v at %d: window at %d contains it: %v, returned: %v", w, at, start, contains, got[start])
			}
			delete(got, start)
		}
		if len(got) > 0 {
			t.Fatalf("%v at %d: also %v", w, at, got)
		}
	})
}

func TestEveryTimestampIsInOneTumblingWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 1_000_000).Draw(t, "size")
		at := rapid.OneOf(rapid.Int64Range(0, 2_000_000), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "timestamp")
		w := windows.Tumbling(milliseconds(size))
		first, count, _ := w.Starts(at)
		window := w.Window(first)
		if count != 1 || at < window.StartMs || at >= window.EndMs && window.EndMs != math.MaxInt64 {
			t.Fatalf("%v at %d: %d windows, the first [%d, %d)", w, at, count, window.StartMs, window.EndMs)
		}
	})
}

func TestTheLastMomentOfTime(t *testing.T) {
	w := windows.Tumbling(time.Millisecond)
	if first, count, _ := w.Starts(math.MaxInt64); first != math.MaxInt64 || count != 1 {
		t.Fatalf("%d windows from %d", count, first)
	}
}

func TestStartsAllocatesNothing(t *testing.T) {
	w := windows.Hopping(time.Hour, time.Minute)
	if n := testing.AllocsPerRun(100, func() { w.Starts(1 << 40) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestClosedAndAcceptedAreOpposites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := anyTime(t)
		start := rapid.OneOf(rapid.Int64Range(0, 300), rapid.Int64Range(math.MaxInt64-300, math.MaxInt64)).Draw(t, "start")
		stream := rapid.OneOf(rapid.Int64Range(windows.NoTime, 600), rapid.Int64Range(math.MaxInt64-300, math.MaxInt64)).Draw(t, "stream")
		// Kafka's rule: end > stream time - grace.
		open := sum(start, w.RetentionMs()).Cmp(sum(stream)) > 0
		if got := w.Accepts(start, stream); got != open {
			t.Fatalf("%v: window at %d at stream time %d: accepts %v, want %v", w, start, stream, got, open)
		}
		if closed := start < w.ClosedBefore(stream); closed == open {
			t.Fatalf("%v: window at %d at stream time %d: accepts %v and closed %v", w, start, stream, open, closed)
		}
		if closes := w.CloseMs(start); closes != math.MaxInt64 && (stream >= closes) == open {
			t.Fatalf("%v: window at %d closes at %d; at %d it is open: %v", w, start, closes, stream, open)
		}
	})
}

func TestSessionsCloseAsKafkaSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gap := rapid.Int64Range(1, 50).Draw(t, "gap")
		grace := rapid.Int64Range(0, 50).Draw(t, "grace")
		s := windows.Sessions(milliseconds(gap)).Grace(milliseconds(grace))
		end := rapid.OneOf(rapid.Int64Range(0, 300), rapid.Int64Range(math.MaxInt64-300, math.MaxInt64)).Draw(t, "end")
		stream := rapid.OneOf(rapid.Int64Range(windows.NoTime, 600), rapid.Int64Range(math.MaxInt64-300, math.MaxInt64)).Draw(t, "stream")
		// Kafka's rule: dropped if end < stream time - grace - gap.
		open := sum(end).Cmp(sum(stream, -grace, -gap)) >= 0
		if got := s.Accepts(end, stream); got != open {
			t.Fatalf("%v: a session that ends at %d at stream time %d: accepts %v, want %v", s, end, stream, got, open)
		}
		if closed := end < s.ClosedBefore(stream); closed == open {
			t.Fatalf("%v: a session that ends at %d at stream time %d: accepts %v and closed %v", s, end, stream, open, closed)
		}
		if closes := s.CloseMs(end); closes != math.MaxInt64 && (stream >= closes) == open {
			t.Fatalf("%v: a session that ends at %d closes at %d; at %d it is open: %v", s, end, closes, stream, open)
		}
	})
}

func TestASessionTakesWhatIsAGapAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gap := rapid.Int64Range(1, 50).Draw(t, "gap")
		s := windows.Sessions(milliseconds(gap))
		a, b, at := anyTimestamp(t), anyTimestamp(t), anyTimestamp(t)
		session := windows.Merge(s.At(a), s.At(b))
		if session.StartMs != min(a, b) || session.EndMs != max(a, b) {
			t.Fatalf("%d and %d: %v", a, b, session)
		}
		want := sum(at).Cmp(sum(session.StartMs, -gap)) >= 0 && sum(at).Cmp(sum(session.EndMs, gap)) <= 0
		if got := s.Touches(session, at); got != want {
			t.Fatalf("gap %d, [%d, %d], %d: %v", gap, session.StartMs, session.EndMs, at, got)
		}
	})
}

func TestMistakesOfADescription(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	tests := []struct {
		name  string
		err   error
		words []string
	}{
		{"no size", windows.Tumbling(0).Err(), []string{"size 0s", "at least 1ms"}},
		{"the zero value", windows.Time{}.Err(), []string{"size 0s"}},
		{"a negative size", windows.Tumbling(-time.Second).Err(), []string{"size -1s"}},
		{"parts of a millisecond", windows.Tumbling(1500 * time.Microsecond).Err(), []string{"size 1.5ms", "whole milliseconds"}},
		{"steps beyond the size", windows.Hopping(time.Second, time.Minute).Err(), []string{"every 1m0s", "size 1s", "lost"}},
		{"no step", windows.Hopping(time.Second, 0).Err(), []string{"every 0s"}},
		{"too many at a time", windows.Hopping(time.Hour, time.Millisecond).Err(), []string{"3600000 windows", "10000"}},
		{"a negative grace", windows.Tumbling(time.Second).Grace(-1).Err(), []string{"grace -1ns"}},
		{"two at once", windows.Tumbling(time.Second).Idle(-time.Second).MaxAhead(-time.Hour).Err(), []string{"idle -1s", "max ahead -1h"}},
		{"no gap", windows.Sessions(0).Err(), []string{"gap 0s"}},
		{"sessions with a negative grace", windows.Sessions(1).Grace(-time.Second).Err(), []string{"gap 1ns", "grace -1s"}},
		{"fine", windows.Hopping(time.Minute, time.Second).Grace(time.Hour).Idle(time.Second).MaxAhead(time.Second).Err(), nil},
		{"fine for sessions", windows.Sessions(time.Minute).Grace(0).Idle(time.Second).MaxAhead(time.Second).Err(), nil},
		{"fine for ever", windows.Tumbling(forever.Truncate(time.Millisecond)).Grace(forever.Truncate(time.Millisecond)).Err(), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if (test.err == nil) != (test.words == nil) {
				t.Fatal(test.err)
			}
			for _, word := range test.words {
				if !strings.Contains(test.err.Error(), word) {
					t.Errorf("%q does not say %q", test.err, word)
				}
			}
		})
	}
}

func TestDescriptionsReadAsTheyWereWritten(t *testing.T) {
	tests := []struct{ got, want string }{
		{windows.Tumbling(5 * time.Minute).Grace(time.Minute).String(), "tumbling 5m0s, grace 1m0s"},
		{windows.Hopping(time.Minute, time.Second).Idle(time.Second).String(), "hopping 1m0s every 1s, idle 1s"},
		{windows.Sessions(time.Hour).MaxAhead(time.Second).String(), "sessions 1h0m0s, max ahead 1s"},
		{windows.OnUpdate.String(), "on update"},
		{windows.OnClose.String(), "on close"},
		{windows.Key[string]{Key: "home", Window: windows.Window{StartMs: 0, EndMs: 60_001}}.String(),
			"home@1970-01-01T00:00:00.000Z/1970-01-01T00:01:00.001Z"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}
