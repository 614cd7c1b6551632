package streams

import (
	"testing"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

// A row that is filtered out goes no further; all else that a node sends on is counted.
func TestOperatorsOfTablesCountWhatTheyEmit(t *testing.T) {
	topology := NewTopology()
	table := TableFrom(topology, NewTopic("in", serde.String, serde.String), state.NewKV("rows", serde.String, serde.String))
	kept := table.Filter(func(_, value string) bool { return value != "no" })
	MapTableValues(kept, func(value string) string { return value + "!" }).ToStream().To(NewTopic("out", serde.String, serde.String))
	h := newHarness(t, topology)
	for at, value := range []string{"yes", "no", "no", "well"} {
		h.mustSend("in", int64(at), string(rune('a'+at)), value)
	}
	for node, want := range map[string][2]int64{"op-1": {4, 2}, "op-2": {2, 2}, "op-3": {2, 2}} {
		if n := h.counters.Nodes()[node]; n.Processed != want[0] || n.Emitted != want[1] {
			t.Errorf("%s: %d records came in, %d went on, want %v", node, n.Processed, n.Emitted, want)
		}
	}
}
