package streamstest

import (
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

var (
	lateOnes = streams.NewTopic("late-ones", serde.String, serde.String)
	windowed = streams.NewTopic("windowed", serde.Windowed(serde.String), serde.Int64)
)

// windowSubjects are those with windows.
var windowSubjects = []subject{
	windowCount("tumbling, on update", windows.Tumbling(10*time.Second).Grace(5*time.Second), windows.OnUpdate),
	windowCount("tumbling, on close", windows.Tumbling(10*time.Second).Grace(5*time.Second), windows.OnClose),
	windowCount("hopping, on update", windows.Hopping(10*time.Second, 4*time.Second), windows.OnUpdate),
	windowCount("hopping, on close", windows.Hopping(10*time.Second, 4*time.Second), windows.OnClose),
	sessionCount("sessions, on update", windows.OnUpdate),
	sessionCount("sessions, on close", windows.OnClose),
}

func windowCount(name string, of windows.Time, emission windows.Emission) subject {
	return subject{
		name: name,
		build: func(t *streams.Topology) {
			w := streams.From(t, texts).GroupByKey().Window(of).Emit(emission)
			w.Late().To(lateOnes)
			streams.WindowsToStream(w.Count(state.NewWindow("windows", serde.String, serde.Int64))).To(windowed)
		},
		partitions: map[string]int{"texts": 2, "windowed": 2, "late-ones": 2},
		inputs:     []string{"texts"},
		outputs:    map[string]order{"windowed": perKey, "late-ones": exact},
	}
}

func sessionCount(name string, emission windows.Emission) subject {
	return subject{
		name: name,
		build: func(t *streams.Topology) {
			w := streams.From(t, texts).GroupByKey().Sessions(windows.Sessions(3 * time.Second).Grace(2 * time.Second)).Emit(emission)
			w.Late().To(lateOnes)
			streams.WindowsToStream(w.Count(state.NewSession("sessions", serde.String, serde.Int64))).To(windowed)
		},
		partitions: map[string]int{"texts": 2, "windowed": 2, "late-ones": 2},
		inputs:     []string{"texts"},
		outputs:    map[string]order{"windowed": perKey, "late-ones": exact},
	}
}
