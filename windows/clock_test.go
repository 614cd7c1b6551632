package windows_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/millrace/millrace/windows"
	"pgregory.net/rapid"
)

// seen is a record of the naive model: it keeps them all.
type seen struct{ timestampMs, wallMs int64 }

func TestClockMatchesANaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		idleMs := rapid.SampledFrom([]int64{0, 1, 10}).Draw(t, "idle")
		aheadMs := rapid.SampledFrom([]int64{0, 1, 50}).Draw(t, "max ahead")
		c := windows.NewClock(milliseconds(idleMs), milliseconds(aheadMs))
		var taken []seen
		wall, stream := int64(1000), windows.NoTime
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			wall += rapid.Int64Range(0, 15).Draw(t, "passes")
			before := c.StreamMs()
			if rapid.Bool().Draw(t, "record") {
				at := rapid.OneOf(rapid.Int64Range(wall-100, wall+100), rapid.Just(int64(math.MaxInt64)), rapid.Just(int64(-1))).Draw(t, "timestamp")
				verdict := c.Observe(at, wall)
				ahead := aheadMs > 0 && at-wall > aheadMs
				if (verdict == windows.Ahead) != ahead {
					t.Fatalf("timestamp %d at %d: %v", at, wall, verdict)
				}
				if !ahead {
					stream = max(stream, at)
					taken = append(taken, seen{timestampMs: stream, wallMs: wall})
				}
			} else {
				advanced := c.Idle(wall)
				if n := len(taken); idleMs > 0 && n > 0 && taken[n-1].timestampMs != windows.NoTime {
					if silent := wall - taken[n-1].wallMs; silent >= idleMs && taken[n-1].timestampMs < math.MaxInt64-silent {
						stream = max(stream, taken[n-1].timestampMs+silent)
					}
				}
				if advanced != (stream > before) {
					t.Fatalf("at %d: stream time %d -> %d, reported %v", wall, before, stream, advanced)
				}
			}
			if c.StreamMs() != stream || stream < before {
				t.Fatalf("at %d: stream time %d -> %d, want %d", wall, before, c.StreamMs(), stream)
			}
		}
	})
}

func TestARestoredClockGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := windows.NewClock(0, 0)
		for range rapid.IntRange(0, 10).Draw(t, "before") {
			a.Observe(rapid.Int64Range(0, 100).Draw(t, "timestamp"), 0)
			a.Emitted(rapid.Int64Range(0, 100).Draw(t, "emitted"))
		}
		// Through JSON, as it is kept.
		kept, err := json.Marshal(a.State())
		if err != nil {
			t.Fatal(err)
		}
		var state windows.ClockState
		if err := json.Unmarshal(kept, &state); err != nil {
			t.Fatal(err)
		}
		b := windows.NewClock(0, 0)
		b.Observe(7_000, 0)
		b.Restore(state)
		for range rapid.IntRange(0, 10).Draw(t, "after") {
			at := rapid.Int64Range(0, 200).Draw(t, "timestamp")
			a.Observe(at, 0)
			b.Observe(at, 0)
		}
		if a.State() != b.State() {
			t.Fatalf("%+v, want %+v", b.State(), a.State())
		}
	})
}

func TestSilenceDuringARestartDoesNotCount(t *testing.T) {
	c := windows.NewClock(10*time.Millisecond, 0)
	c.Restore(windows.ClockState{StreamMs: 500})
	if c.Idle(1_000_000) {
		t.Fatal("stream time moved at the first look")
	}
	if c.Idle(1_000_009) {
		t.Fatal("stream time moved after 9 ms of silence, idle is 10 ms")
	}
	if !c.Idle(1_000_010) || c.StreamMs() != 510 {
		t.Fatalf("stream time %d after 10 ms of silence, want 510", c.StreamMs())
	}
}

func TestAnEmptyStreamIsNeverIdle(t *testing.T) {
	c := windows.NewClock(time.Millisecond, 0)
	if c.Idle(1) || c.Idle(1_000_000) || c.StreamMs() != windows.NoTime {
		t.Fatalf("stream time %d without any record", c.StreamMs())
	}
}

func TestAWallClockThatGoesBackClosesNothing(t *testing.T) {
	c := windows.NewClock(10*time.Millisecond, 0)
	c.Observe(100, 5_000)
	if c.Idle(1_000) || c.StreamMs() != 100 {
		t.Fatalf("stream time %d", c.StreamMs())
	}
}

func TestEmittedNeverGoesBack(t *testing.T) {
	c := windows.NewClock(0, 0)
	c.Emitted(20)
	c.Emitted(10)
	if c.EmittedMs() != 20 {
		t.Fatal(c.EmittedMs())
	}
	c.Restore(windows.ClockState{StreamMs: math.MinInt64, EmittedMs: math.MinInt64})
	if c.StreamMs() != windows.NoTime || c.EmittedMs() != 0 {
		t.Fatalf("%+v", c.State())
	}
}
