package quota

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var window = Window{Samples: 11, Size: time.Second}

const millisecond = time.Millisecond

// usage is one use, as the naive model remembers it.
type usage struct {
	amount float64
	at     time.Duration
}

// naiveRest says by all that was ever used how long the client has to rest: (O-T)/T*W with the rate O over the time W.
func naiveRest(w Window, all []usage, limit float64, now time.Duration) time.Duration {
	current := now / w.Size
	over := (time.Duration(w.Samples-1)*w.Size + now - current*w.Size).Seconds()
	sum := 0.0
	for _, u := range all {
		if u.at/w.Size > current-time.Duration(w.Samples) {
			sum += u.amount
		}
	}
	rest := sum/limit - over
	return time.Duration(max(0, min(rest, w.Span().Seconds())) * float64(time.Second))
}

func TestRatesAreThoseOfANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Window{Samples: rapid.IntRange(1, 5).Draw(t, "samples"), Size: time.Duration(rapid.IntRange(1, 3).Draw(t, "seconds")) * time.Second}
		m := NewMeters(w)
		used := map[Subject][]usage{}
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "pause")) * millisecond
			bound := Bound{float64(rapid.IntRange(1, 50).Draw(t, "limit")), Subject{User: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "user")}}
			amount := float64(rapid.IntRange(0, 200).Draw(t, "amount"))
			had := used[bound.Subject]
			with := append(had[:len(had):len(had)], usage{amount, now})
			want := naiveRest(w, with, bound.Limit, now)
			if rapid.Bool().Draw(t, "try") {
				if idle := naiveSum(w, had, now) == 0; idle {
					want = 0
				}
				if want > 0 {
					with = had
				}
				if got := m.TryUse(Fetch, bound, amount, now); !near(got, want) {
					t.Fatalf("try %v at %v: rest %v, want %v", amount, now, got, want)
				}
			} else if got := m.Use(Fetch, bound, amount, now); !near(got, want) {
				t.Fatalf("use %v at %v: rest %v, want %v", amount, now, got, want)
			}
			used[bound.Subject] = with
		}
	})
}

func naiveSum(w Window, all []usage, now time.Duration) float64 {
	sum := 0.0
	for _, u := range all {
		if u.at/w.Size > now/w.Size-time.Duration(w.Samples) {
			sum += u.amount
		}
	}
	return sum
}

// near allows for the order in which floating-point numbers are added.
func near(a, b time.Duration) bool { return math.Abs(float64(a-b)) < float64(time.Microsecond) }

// A client that rests whenever it is told to stays within its quota, apart from the window's worth that it may use at
// once, and from a sample's worth in each window by which the measure is coarse.
func TestObedientClientsStayWithinTheirQuota(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMeters(window)
		limit := float64(rapid.IntRange(100, 10_000).Draw(t, "limit"))
		bound := Bound{Limit: limit, Subject: Subject{ClientID: "c"}}
		amounts := rapid.IntRange(1, int(limit))
		total, now := 0.0, time.Duration(0)
		const long = 10 * time.Minute
		for step := 0; now < long && step < 5000; step++ {
			amount := float64(amounts.Draw(t, "amount"))
			total += amount
			now += max(millisecond, m.Use(Produce, bound, amount, now))
		}
		allowed := limit * (now + window.Span()).Seconds() * (1 + 1/float64(window.Samples-1))
		if total > allowed {
			t.Fatalf("%.0f used in %v, %.0f allowed", total, now, allowed)
		}
	})
}

func TestABusyClientGetsItsQuota(t *testing.T) {
	m := NewMeters(window)
	bound := Bound{Limit: 1000, Subject: Subject{ClientID: "c"}}
	total, now := 0.0, time.Duration(0)
	for now < 10*time.Minute {
		total += 100
		now += m.Use(Produce, bound, 100, now)
	}
	if rate := total / now.Seconds(); rate < 950 || rate > 1050 {
		t.Errorf("rate %.1f, want about 1000", rate)
	}
}

func TestABurstOfAWindowIsFree(t *testing.T) {
	m := NewMeters(window)
	bound := Bound{Limit: 100}
	if rest := m.Use(Produce, bound, m.Burst(100), 0); rest != 0 {
		t.Errorf("rest %v after a window's worth", rest)
	}
	if rest := m.Use(Produce, bound, 250, 0); rest != 2500*millisecond {
		t.Errorf("rest %v after 250 more, want 2.5s", rest)
	}
	if rest := m.Use(Produce, bound, 1e9, 0); rest != window.Span() {
		t.Errorf("rest %v after far too much, want the window's %v", rest, window.Span())
	}
	if rest := m.Use(Produce, bound, 1, window.Span()); rest != 0 {
		t.Errorf("rest %v after the window has passed", rest)
	}
}

func TestWhatIsLargerThanTheWindowIsHadOnce(t *testing.T) {
	m := NewMeters(window)
	bound := Bound{Limit: 1}
	if rest := m.TryUse(Fetch, bound, 1e6, 0); rest != 0 {
		t.Errorf("the first has to rest for %v", rest)
	}
	if rest := m.TryUse(Fetch, bound, 1, 5*time.Second); rest != window.Span() {
		t.Errorf("the second rests for %v, want %v", rest, window.Span())
	}
	if rest := m.TryUse(Fetch, bound, 1e6, window.Span()); rest != 0 {
		t.Errorf("a window later it has to rest for %v", rest)
	}
}

func TestABucketIsOverdrawnOnceAndRecovers(t *testing.T) {
	m := NewMeters(window)
	bound := Bound{Limit: 2, Subject: Subject{User: "u"}} // 22 in the full bucket
	for i, step := range []struct {
		amount float64
		force  bool
		at     time.Duration
		rest   time.Duration
		ok     bool
	}{
		{22, false, 0, 0, true},
		{4, false, 0, 0, true}, // nothing left is not yet overdrawn
		{1, false, 0, 2 * time.Second, false},
		{1, false, time.Second, time.Second, false},
		{5, true, time.Second, 3500 * millisecond, true},
		{1, false, 4500 * millisecond, 0, true},
		{1000, false, time.Hour, 0, true},
		{1, false, time.Hour, window.Span(), false},
	} {
		rest, ok := m.Spend(Mutation, bound, step.amount, step.force, step.at)
		if rest != step.rest || ok != step.ok {
			t.Errorf("step %d: rest %v, %t, want %v, %t", i, rest, ok, step.rest, step.ok)
		}
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	m := NewMeters(window)
	bound := Bound{Limit: 10}
	m.Use(Produce, bound, 200, time.Minute)
	if rest := m.Use(Produce, bound, 0, time.Second); rest == 0 {
		t.Error("an earlier time forgets what was used")
	}
}

func TestIdleSubjectsAreForgotten(t *testing.T) {
	m := NewMeters(window)
	subject := func(i int) Subject { return Subject{ClientID: fmt.Sprint(i)} }
	for i := range 100 {
		m.Use(Produce, Bound{1, subject(i)}, 1, 0)
	}
	m.Spend(Mutation, Bound{1, subject(0)}, 100, true, 0) // takes more than a window to recover
	m.Use(Produce, Bound{1, subject(1)}, 1, 2*time.Second)
	m.Use(Produce, Bound{1, subject(200)}, 1, window.Span())
	if left := len(m.mu.byKey); left != 3 {
		t.Errorf("%d meters are left, want the new one, the busy one and the overdrawn bucket", left)
	}
}

func TestSubjectsBeyondTheBoundShareAMeter(t *testing.T) {
	m := NewMeters(window)
	m.most = 3
	for i := range 50 {
		m.Use(Produce, Bound{1, Subject{ClientID: fmt.Sprint(i)}}, 1, 0)
		m.Spend(Mutation, Bound{1, Subject{ClientID: fmt.Sprint(i)}}, 1, true, 0)
	}
	if count := len(m.mu.byKey); count > m.most+KindCount {
		t.Errorf("%d meters, at most %d are wanted", count, m.most+KindCount)
	}
	if rest := m.Use(Produce, Bound{1, Subject{ClientID: "new"}}, 1, 0); rest == 0 {
		t.Error("a new name beyond the bound escapes the quota that others have used up")
	}
}
