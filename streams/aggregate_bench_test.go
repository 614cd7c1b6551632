package streams

import (
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

// The topologies of the hot path: nothing but a store between the input and its changelog.
var countings = map[string]func(Grouped[int64, int64]){
	"count": func(g Grouped[int64, int64]) { g.Count(state.NewKV("counts", serde.Int64, serde.Int64)) },
	"tumbling count": func(g Grouped[int64, int64]) {
		g.Window(windows.Tumbling(time.Hour)).Count(state.NewWindow("counts", serde.Int64, serde.Int64))
	},
	"hopping count on close": func(g Grouped[int64, int64]) {
		g.Window(windows.Hopping(time.Hour, 20*time.Minute)).Emit(windows.OnClose).Count(state.NewWindow("counts", serde.Int64, serde.Int64))
	},
	"sessions": func(g Grouped[int64, int64]) {
		g.Sessions(windows.Sessions(time.Hour)).Count(state.NewSession("counts", serde.Int64, serde.Int64))
	},
}

func TestCountingDoesNotAllocatePerRecord(t *testing.T) {
	for name, count := range countings {
		t.Run(name, func(t *testing.T) {
			top := NewTopology()
			count(From(top, numbers).GroupByKey())
			f := &feeding{task: newHarness(t, top).tasks[0], records: numberRecords(10_000)}
			f.run(t)
			if allocs := testing.AllocsPerRun(10, func() { f.run(t) }); allocs > 100 { // of the batch, not of its records
				t.Errorf("%v allocations for %d records", allocs, len(f.records))
			}
		})
	}
}
