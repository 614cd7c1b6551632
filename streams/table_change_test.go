package streams

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/serde"
)

func TestAChangeComesBackAsItWas(t *testing.T) {
	codec := changeCodec[string]{serde.String}
	rapid.Check(t, func(t *rapid.T) {
		want := change[string]{had: rapid.Bool().Draw(t, "had")}
		want.has = !want.had || rapid.Bool().Draw(t, "has")
		if want.had {
			want.old = rapid.String().Draw(t, "old")
		}
		if want.has {
			want.value = rapid.String().Draw(t, "value")
		}
		data, err := codec.Append([]byte("before"), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.Decode(data[len("before"):])
		if err != nil || got != want {
			t.Fatalf("got %+v and %v, want %+v", got, err, want)
		}
	})
}

func TestAChangeThatIsNoneDoesNotDecode(t *testing.T) {
	codec := changeCodec[int64]{serde.Int64}
	for _, data := range []string{
		"", "\x00", "\x04", "\xff12345678", // no flags that there are
		"\x03", "\x03\x80", "\x03\x09\x01\x02", "\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", // lengths beyond the end
		"\x01short", "\x02short", "\x03\x08\x00\x00\x00\x00\x00\x00\x00\x01short", // values that are none
	} {
		if got, err := codec.Decode([]byte(data)); err == nil {
			t.Errorf("%q became %+v", data, got)
		}
	}
	if _, err := codec.Append(nil, change[int64]{}); err == nil {
		t.Error("a change from nothing to nothing was encoded")
	}
}

func FuzzChange(f *testing.F) {
	f.Add([]byte("\x03\x01ab"))
	codec := changeCodec[string]{serde.String}
	f.Fuzz(func(t *testing.T, data []byte) {
		change, err := codec.Decode(data)
		if err != nil {
			return
		}
		encoded, err := codec.Append(nil, change)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := codec.Decode(encoded); err != nil || again != change {
			t.Fatalf("%q is %+v, which comes back as %+v, %v", data, change, again, err)
		}
	})
}

// TestTableStepsCountWhatTheySendOn has a row that comes, moves to another group, stays in it and goes.
func TestTableStepsCountWhatTheySendOn(t *testing.T) {
	topology := NewTopology()
	rows := TableFrom(topology, texts, state.NewKV("rows", serde.String, serde.String)).
		Filter(func(string, string) bool { return true })
	lengths := MapTableValues(rows, func(value string) string { return value })
	GroupTable(lengths, NewTopic("groups", serde.String, serde.String), func(_, value string) (string, string) { return value[:1], value }).
		Count(state.NewKV("sizes", serde.String, serde.Int64))
	lengths.ToStream().To(result)
	h := newHarness(t, topology)
	for i, value := range []string{"a1", "b1", "b2"} {
		h.mustSend("in", int64(i), "k", value)
	}
	if err := h.send("in", 3, []byte("k"), nil); err != nil {
		t.Fatal(err)
	}
	h.commit()
	nodes := h.counters.Nodes()
	for name, want := range map[string]int64{"op-1": 4, "op-2": 4, "op-3": 5, "op-4": 4} { // filter, map-values, group-table, to-stream
		if got := nodes[name]; got.Processed != 4 || got.Emitted != want {
			t.Errorf("node %s took %d records and sent on %d, want 4 and %d", name, got.Processed, got.Emitted, want)
		}
	}
}
