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

// What a port of Kafka Streams easily gets wrong, and what the traces do not show: several partitions, restarts, and the points at which it
// was decided otherwise here.

// restarts are the ways in which an application may begin again.
var restarts = map[string]func(*streamstest.Driver){
	"stop":       (*streamstest.Driver).Stop,
	"crash":      (*streamstest.Driver).Crash,
	"lost disks": (*streamstest.Driver).LoseDisks,
}

// Kafka Streams begins with no stream time in window operators, and would count the record at 3 again.
func TestStreamTimeOutlivesARestart(t *testing.T) {
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			d := streamstest.New(t, countIn(windows.Tumbling(10*ms), windows.OnUpdate), streamstest.Options{})
			send(d, entries, "a=x@1", "b=x@25")
			restart(d)
			send(d, entries, "a=late@3", "a=x@21")
			expect(t, d, perWindow, in("a", 0, 10)+"=1@1", in("b", 20, 30)+"=1@25", in("a", 20, 30)+"=1@21")
			expect(t, d, tooLate, "a=late@3")
		})
	}
}

func TestResultsOnCloseComeOnceOverRestarts(t *testing.T) {
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			d := streamstest.New(t, countIn(windows.Tumbling(10*ms).Grace(5*ms), windows.OnClose), streamstest.Options{})
			send(d, entries, "a=x@1", "a=x@14")
			restart(d)
			send(d, entries, "a=x@2", "b=x@16") // [0, 10) closes at 15
			restart(d)
			send(d, entries, "b=late@9", "b=x@40")
			restart(d)
			send(d, entries, "b=x@41")
			expect(t, d, perWindow, in("a", 0, 10)+"=2@2", in("a", 10, 20)+"=1@14", in("b", 10, 20)+"=1@16")
			expect(t, d, tooLate, "b=late@9")
		})
	}
}

// A jump of event time closes many windows at once, and those that nobody has touched for long are sent as well.
func TestAJumpOfEventTimeLosesNoResult(t *testing.T) {
	d := streamstest.New(t, countIn(windows.Hopping(10*ms, 5*ms), windows.OnClose), streamstest.Options{})
	send(d, entries, "a=x@7", "b=x@12", "a=x@10000000")
	expect(t, d, perWindow, in("a", 0, 10)+"=1@7", in("a", 5, 15)+"=1@7", in("b", 5, 15)+"=1@12", in("b", 10, 20)+"=1@12")
}

// Each partition has a stream time of its own, as each task of Kafka Streams has.
func TestAPartitionDoesNotMakeAnotherOneLate(t *testing.T) {
	d := streamstest.New(t, countIn(windows.Tumbling(10*ms), windows.OnUpdate), streamstest.Options{
		Partitions: map[string]int{"entries": 2, "per-window": 1, "too-late": 1},
	})
	streamstest.Send(d, entries, "a", "x", at(1000), streamstest.OnPartition(0))
	d.Drain()
	streamstest.Send(d, entries, "b", "x", at(1), streamstest.OnPartition(1))
	d.Drain()
	expect(t, d, perWindow, in("a", 1000, 1010)+"=1@1000", in("b", 0, 10)+"=1@1")
	expect(t, d, tooLate)
}

// A session stays open as long as its end may still be reached: gap and grace, with both ends included.
func TestTheLastMomentOfASession(t *testing.T) {
	const gap, grace = 5, 3
	tests := []struct {
		name   string
		stream int64 // where stream time is when a record at 15 comes, after one at 10
		taken  bool
	}{
		{"still open", 15 + gap + grace, true},
		{"just closed", 15 + gap + grace + 1, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			top := streams.NewTopology()
			w := streams.From(top, entries).GroupByKey().Sessions(windows.Sessions(gap * ms).Grace(grace * ms))
			w.Late().To(tooLate)
			streams.WindowsToStream(w.Count(state.NewSession("sessions", serde.String, serde.Int64))).To(perWindow)
			d := streamstest.New(t, top, streamstest.Options{})
			send(d, entries, "a=x@10", "a=x@15")
			d.Commit()
			streamstest.Send(d, entries, "clock", "x", at(test.stream))
			send(d, entries, "a=x@15")
			late := streamstest.Read(d, tooLate)
			if taken := len(late) == 0; taken != test.taken {
				t.Errorf("stream time %d: taken %v, want %v", test.stream, taken, test.taken)
			}
		})
	}
}

// The time of a record that TimestampBy gives is the one that windows, results and late records go by.
func TestWindowsGoByTheTimeThatIsTaken(t *testing.T) {
	top := streams.NewTopology()
	hour := func(_, value string) time.Time { at, _ := time.Parse("15:04", value); return at.AddDate(2026, 0, 0) }
	w := streams.From(top, entries, streams.TimestampBy(hour)).GroupByKey().Window(windows.Tumbling(time.Hour))
	streams.WindowsToStream(w.Count(inWindows)).To(perWindow)
	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "a=10:10@5", "a=10:50@1", "a=09:59@9")
	if got := streamstest.Read(d, perWindow); len(got) != 2 || got[1].Value != 2 || got[1].Timestamp.UTC().Hour() != 10 {
		t.Errorf("%+v", read(d, perWindow))
	}
	expectDropped(t, d, "in-windows", "late", 1)
}
