package streams

import (
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// input is a record that has everything, one without a value, one without a key, and one that filters leave out.
func sendUsual(t *testing.T, h *harness) {
	t.Helper()
	for _, r := range []struct {
		key, value []byte
		ms         int64
	}{{[]byte("k"), []byte("a b"), 10}, {[]byte("k"), nil, 20}, {nil, []byte("c"), 30}, {[]byte("k"), []byte(""), 40}} {
		if err := h.send("in", r.ms, r.key, r.value); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStatelessOperators(t *testing.T) {
	long := func(_, value string) bool { return value != "" }
	var seen []string
	cases := map[string]struct {
		build   func(Stream[string, string]) Stream[string, string]
		want    []string
		dropped map[engine.Reason]int64 // by op-1
	}{
		"filter": {
			build: func(s Stream[string, string]) Stream[string, string] { return s.Filter(long) },
			want:  []string{"k=a b@10", "k=-@20", "-=c@30"},
		},
		"filter not": {
			build: func(s Stream[string, string]) Stream[string, string] { return s.FilterNot(long) },
			want:  []string{"k=-@20", "k=@40"},
		},
		"peek": {
			build: func(s Stream[string, string]) Stream[string, string] {
				return s.Peek(func(key, value string) { seen = append(seen, key+"="+value) })
			},
			want: []string{"k=a b@10", "k=-@20", "-=c@30", "k=@40"},
		},
		"map values": {
			build: func(s Stream[string, string]) Stream[string, string] { return MapValues(s, strings.ToUpper) },
			want:  []string{"k=A B@10", "k=-@20", "-=C@30", "k=@40"},
		},
		"map": {
			build: func(s Stream[string, string]) Stream[string, string] {
				return Map(s, func(key, value string) (string, string) { return value, key })
			},
			want:    []string{"a b=k@10", "c=@30", "=k@40"},
			dropped: map[engine.Reason]int64{engine.NullValue: 1},
		},
		"select key": {
			build: func(s Stream[string, string]) Stream[string, string] {
				return SelectKey(s, func(_, value string) string { return value })
			},
			want:    []string{"a b=a b@10", "c=c@30", "=@40"},
			dropped: map[engine.Reason]int64{engine.NullValue: 1},
		},
		"flat map values": {
			build: func(s Stream[string, string]) Stream[string, string] { return FlatMapValues(s, strings.FieldsSeq) },
			want:  []string{"k=a@10", "k=b@10", "k=-@20", "-=c@30"},
		},
		"flat map": {
			build: func(s Stream[string, string]) Stream[string, string] {
				return FlatMap(s, func(key, value string) iter.Seq2[string, string] {
					return func(yield func(string, string) bool) {
						for word := range strings.FieldsSeq(value) {
							if !yield(word, key) {
								return
							}
						}
					}
				})
			},
			want:    []string{"a=k@10", "b=k@10", "c=@30"},
			dropped: map[engine.Reason]int64{engine.NullValue: 1},
		},
		"repartition": {
			build: func(s Stream[string, string]) Stream[string, string] {
				return s.Repartition(NewTopic("between", serde.String, serde.String))
			},
			want: []string{"k=a b@10", "k=-@20", "-=c@30", "k=@40"},
		},
		"merge": {
			build: func(s Stream[string, string]) Stream[string, string] {
				return MapValues(s, strings.ToUpper).Merge(s.Filter(long), s)
			},
			want: []string{"k=A B@10", "k=a b@10", "k=a b@10", "k=-@20", "k=-@20", "k=-@20", "-=C@30", "-=c@30", "-=c@30",
				"k=@40", "k=@40"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			topology := NewTopology()
			c.build(From(topology, texts)).To(result)
			h := newHarness(t, topology)
			sendUsual(t, h)
			if got := h.text("out"); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			for _, reason := range engine.Reasons() {
				if got := h.counters.Nodes()["op-1"].Dropped[reason]; got != c.dropped[reason] {
					t.Errorf("dropped %d as %v, want %d", got, reason, c.dropped[reason])
				}
			}
		})
	}
	if want := []string{"k=a b", "=c", "k="}; !slices.Equal(seen, want) {
		t.Errorf("Peek saw %q, want %q", seen, want)
	}
}

// TestOperatorsLeaveTheRecordToTheirSiblings connects a sink behind operators that give records a key: it gets them without.
func TestOperatorsLeaveTheRecordToTheirSiblings(t *testing.T) {
	topology := NewTopology()
	s := From(topology, texts)
	keyed := SelectKey(s, func(_, value string) string { return value })
	Map(s, func(_, value string) (string, string) { return value, value }).Merge(keyed).To(NewTopic("keyed", serde.String, serde.String))
	s.To(result)
	h := newHarness(t, topology)
	if err := h.send("in", 1, nil, []byte("v")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(append(h.text("keyed"), h.text("out")...), " "); got != "v=v@1 v=v@1 -=v@1" {
		t.Error(got)
	}
}

func TestHeadersAreKept(t *testing.T) {
	topology := NewTopology()
	s := Map(From(topology, texts), func(key, value string) (string, string) { return key, value })
	FlatMapValues(s, strings.FieldsSeq).Repartition(NewTopic("between", serde.String, serde.String)).To(result)
	h := newHarness(t, topology)
	if err := h.send("in", 1, []byte("k"), []byte("a b"), header("h", "x")); err != nil {
		t.Fatal(err)
	}
	if len(h.topics["out"]) != 2 {
		t.Fatalf("%q", h.text("out"))
	}
	for _, record := range h.topics["out"] {
		if len(record.Headers) != 1 || record.Headers[0].Key != "h" || string(record.Headers[0].Value) != "x" {
			t.Errorf("headers %v", record.Headers)
		}
	}
}

func TestBranchesTakeTurns(t *testing.T) {
	topology := NewTopology()
	branches := From(topology, texts).Branch(
		func(_, value string) bool { return strings.HasPrefix(value, "a") },
		func(_, value string) bool { return value != "" })
	for i, branch := range branches {
		branch.To(NewTopic("out-"+itoa(int64(i)), serde.String, serde.String))
	}
	h := newHarness(t, topology)
	sendUsual(t, h)
	for i, want := range [][]string{{"k=a b@10", "k=-@20"}, {"k=-@20", "-=c@30"}, {"k=-@20", "k=@40"}} {
		if got := h.text("out-" + itoa(int64(i))); !slices.Equal(got, want) {
			t.Errorf("branch %d: %q, want %q", i, got, want)
		}
	}
}

func TestSplitNamesItsBranches(t *testing.T) {
	topology := NewTopology()
	split := func() *Split[string, string] {
		return From(topology, texts).Split().Branch("words", func(_, value string) bool { return value != "" })
	}
	for name, branch := range split().Streams("rest") {
		branch.To(NewTopic(name, serde.String, serde.String))
	}
	for name, branch := range split().Streams("") {
		branch.To(NewTopic(name+"-only", serde.String, serde.String))
	}
	h := newHarness(t, topology)
	sendUsual(t, h)
	for topic, want := range map[string][]string{"words": {"k=a b@10", "k=-@20", "-=c@30"}, "rest": {"k=-@20", "k=@40"},
		"words-only": {"k=a b@10", "k=-@20", "-=c@30"}} {
		if got := h.text(topic); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", topic, got, want)
		}
	}
	From(topology, texts).Split().Branch("a", nil).Branch("a", nil).Streams("a")
	if err := topology.Err(); err == nil || !strings.Contains(err.Error(), `two branches have the name "a"`) {
		t.Error(err)
	}
}

// TestAnIteratorThatDoesNotStopHidesNoError has iterators that yield on after they were told to stop: the second record may not make
// the failure of the first one forgotten.
func TestAnIteratorThatDoesNotStopHidesNoError(t *testing.T) {
	refuse := func(_, value string) (string, string, error) {
		if value == "bad" {
			return "", "", errors.New("refused")
		}
		return value, value, nil
	}
	for name, twice := range map[string]func(Stream[string, string]) Stream[string, string]{
		"FlatMapValues": func(s Stream[string, string]) Stream[string, string] {
			return FlatMapValues(s, func(string) iter.Seq[string] {
				return func(yield func(string) bool) { yield("bad"); yield("good") }
			})
		},
		"FlatMap": func(s Stream[string, string]) Stream[string, string] {
			return FlatMap(s, func(_, _ string) iter.Seq2[string, string] {
				return func(yield func(string, string) bool) { yield("k", "bad"); yield("k", "good") }
			})
		},
	} {
		topology := NewTopology()
		TryMap(twice(From(topology, texts)), "refuse", refuse, Fail).To(result)
		h := newHarness(t, topology)
		if err := h.send("in", 1, []byte("k"), []byte("v")); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: the task ended with %v, want the failure of the first record", name, err)
		}
		if got := h.text("out"); len(got) != 0 {
			t.Errorf("%s: %v came out behind the failure", name, got)
		}
	}
}
