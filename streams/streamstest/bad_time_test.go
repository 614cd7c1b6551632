package streamstest

import (
	"maps"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

var minutes = state.NewWindow("minutes", serde.String, serde.Int64)

// perMinute counts by key and minute, and sends late records to a topic.
func perMinute(t *testing.T, of windows.Time, emission windows.Emission) *Driver {
	topology := streams.NewTopology()
	w := streams.From(topology, texts).GroupByKey().Window(of).Emit(emission)
	w.Late().To(lateOnes)
	streams.WindowsToStream(w.Count(minutes)).To(windowed)
	return New(t, topology, Options{})
}

// counted returns what came out, by key and start of the window after the beginning.
func counted(d *Driver) map[string]int64 {
	all := map[string]int64{}
	for key, n := range Latest(d, windowed) {
		all[key.Key+" "+key.Window.Start().Sub(d.options.Start).String()] = n
	}
	return all
}

var century = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)

// TestARecordFrom2099ClosesAllWindows is what happens where nothing guards against it: what is late is not lost.
func TestARecordFrom2099ClosesAllWindows(t *testing.T) {
	d := perMinute(t, windows.Tumbling(time.Minute), windows.OnUpdate)
	Send(d, texts, "k", "in time")
	Send(d, texts, "k", "too early", At(century))
	Send(d, texts, "k", "in vain")
	d.Drain()
	if got := Read(d, lateOnes); len(got) != 1 || got[0].Value != "in vain" || d.Dropped("minutes", "late") != 1 {
		t.Errorf("late: %v, counted %d times; want the record after that from 2099, once", got, d.Dropped("minutes", "late"))
	}
}

func TestARecordFrom2099IsKeptOutWithMaxAhead(t *testing.T) {
	d := perMinute(t, windows.Tumbling(time.Minute).MaxAhead(time.Hour), windows.OnUpdate)
	d.CrashAt(Decided, 1)
	Send(d, texts, "k", "in time")
	Send(d, texts, "k", "too early", At(century))
	Send(d, texts, "k", "just not too early", At(d.Now().Add(time.Hour)))
	d.Drain()
	if got, want := counted(d), map[string]int64{"k 0s": 1, "k 1h0m0s": 1}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if got := Read(d, lateOnes); len(got) != 1 || got[0].Value != "too early" || !got[0].Timestamp.Equal(century) {
		t.Errorf("in the late stream: %v, want the record from 2099 as it was", got)
	}
	if got := d.Dropped("minutes", "ahead"); got != 1 {
		t.Errorf("%d records were ahead of time, want 1", got)
	}
}

// TestLateRecordsStayLateAfterARestart: the clock of the windows is in the commit, not only in memory.
func TestLateRecordsStayLateAfterARestart(t *testing.T) {
	for name, restart := range map[string]func(*Driver){
		"stop": (*Driver).Stop, "crash": (*Driver).Crash, "lost disks": (*Driver).LoseDisks,
	} {
		d := perMinute(t, windows.Tumbling(time.Minute).Grace(time.Minute), windows.OnClose)
		Send(d, texts, "k", "first")
		Send(d, texts, "k", "three minutes on", At(d.Now().Add(3*time.Minute)))
		d.Drain()
		restart(d)
		Send(d, texts, "k", "late", At(d.Now().Add(time.Second)))
		d.Drain()
		if got := Read(d, lateOnes); len(got) != 1 || got[0].Value != "late" {
			t.Errorf("%s: late %v, want the last record", name, got)
		}
		if got, want := counted(d), map[string]int64{"k 0s": 1}; !maps.Equal(got, want) || len(Read(d, windowed)) != 1 {
			t.Errorf("%s: closed windows %v in %d records, want %v once", name, got, len(Read(d, windowed)), want)
		}
	}
}

// TestWindowsCloseWhileTheInputIsSilent is about Idle: the driver's clock closes them.
func TestWindowsCloseWhileTheInputIsSilent(t *testing.T) {
	d := perMinute(t, windows.Tumbling(time.Minute).Idle(10*time.Second), windows.OnClose)
	Send(d, texts, "k", "only")
	d.Drain()
	if got := counted(d); len(got) != 0 {
		t.Errorf("closed windows %v before their time", got)
	}
	d.Advance(2 * time.Minute)
	if got, want := counted(d), map[string]int64{"k 0s": 1}; !maps.Equal(got, want) {
		t.Errorf("closed windows %v, want %v", got, want)
	}
	d.Crash()
	d.Advance(2 * time.Minute)
	if got := len(Read(d, windowed)); got != 1 {
		t.Errorf("%d windows came out, want the one, once", got)
	}
}

func TestWindowsAndSessionsAreRead(t *testing.T) {
	d := perMinute(t, windows.Tumbling(time.Minute).Grace(time.Hour), windows.OnUpdate)
	Send(d, texts, "k", "a")
	Send(d, texts, "k", "b", At(d.Now().Add(time.Minute)))
	d.Drain()
	if got := Windows(d, minutes); len(got) != 2 || got[0].Key != "k" || got[0].StartMs != d.Now().UnixMilli() || got[1].Value != 1 {
		t.Errorf("windows %+v, want two of k with one record each", got)
	}
	topology, visits := streams.NewTopology(), state.NewSession("visits", serde.String, serde.Int64)
	streams.From(topology, texts).GroupByKey().Sessions(windows.Sessions(time.Minute)).Count(visits)
	d = New(t, topology, Options{Partitions: map[string]int{"texts": 2}})
	for _, second := range []int{0, 50, 100} {
		Send(d, texts, "k", "v", At(d.Now().Add(time.Duration(second)*time.Second)))
	}
	d.Drain()
	if got := Sessions(d, visits); len(got) != 1 || got[0].Key != "k" || got[0].Value != 3 || got[0].EndMs-got[0].StartMs != 100_000 {
		t.Errorf("sessions %+v, want one of k with three records over 100 s", got)
	}
}

func TestClosedWindowsLeaveTheStore(t *testing.T) {
	d := perMinute(t, windows.Tumbling(time.Minute), windows.OnClose)
	for minute := range 9 {
		Send(d, texts, "k", "v", At(d.Now().Add(time.Duration(minute)*time.Minute)))
	}
	d.Drain()
	if got := Windows(d, minutes); len(got) != 1 || len(Read(d, windowed)) != 8 {
		t.Errorf("%d windows are kept and %d came out, want the last and the 8 before", len(got), len(Read(d, windowed)))
	}
}
