package streams_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

// Each mistake of a description is one sentence that says where and what to do.
func TestMistakesOfStatefulOperators(t *testing.T) {
	kv := state.NewKV("kv", serde.String, serde.Int64)
	other := streams.NewTopology()
	otherTable := streams.TableFrom(other, users, state.NewKV("elsewhere", serde.String, serde.String))
	cases := map[string]struct {
		describe func(streams.Stream[string, string])
		want     string
	}{
		"group by key after a change of keys": {
			func(s streams.Stream[string, string]) { shout(s).GroupByKey().Count(kv) },
			"node op-1: it changes the keys, so records of one key may be in several partitions when GroupByKey comes: " +
				"use GroupBy, which takes a topic for it, or call Repartition first",
		},
		"join after a change of keys": {
			func(s streams.Stream[string, string]) {
				streams.Join(shout(s), s.GroupByKey().Count(kv), func(string, int64) int { return 0 })
			},
			"node op-1: it changes the keys, so records of one key may be in several partitions when join comes: call Repartition first",
		},
		"one store for two": {
			func(s streams.Stream[string, string]) {
				s.GroupByKey().Count(kv)
				s.GroupByKey().Count(kv)
			},
			"node kv: two operators keep their results in this store: give each its own",
		},
		"one name for a window store and another": {
			func(s streams.Stream[string, string]) {
				s.GroupByKey().Count(kv)
				s.GroupByKey().Window(windows.Tumbling(time.Minute)).Count(state.NewWindow("kv", serde.String, serde.Int64))
			},
			"node kv: two operators keep their results in this store: give each its own",
		},
		"a store without codecs": {
			func(s streams.Stream[string, string]) {
				s.GroupByKey().Count(state.NewKV[string, int64]("bare", serde.String, nil)).
					Filter(func(string, int64) bool { return true }).ToStream()
			},
			"node bare: the store lacks the codec of its keys or of its values: give both to its constructor",
		},
		"a table's store without codecs": {
			func(s streams.Stream[string, string]) {
				streams.GroupTable(
					streams.Aggregate(s.GroupByKey(), state.NewKV[string, int64]("bare", nil, serde.Int64), nil, nil),
					streams.NewTopic("groups", serde.String, serde.Int64), nil).Count(kv)
			},
			"node bare: the store lacks the codec of its keys or of its values: give both to its constructor",
		},
		"a table grouped through a topic without codecs": {
			func(s streams.Stream[string, string]) {
				streams.GroupTable(s.GroupByKey().Count(kv), streams.NewTopic[string, int64]("bare", serde.String, nil), nil)
			},
			"node bare: the topic lacks the codec of its keys or of its values: give both to NewTopic",
		},
		"windows without a size": {
			func(s streams.Stream[string, string]) {
				s.GroupByKey().Window(windows.Tumbling(0)).Count(state.NewWindow("w", serde.String, serde.Int64))
			},
			"node w: windows: size 0s: must be at least 1ms",
		},
		"sessions without a gap": {
			func(s streams.Stream[string, string]) {
				s.GroupByKey().Sessions(windows.Sessions(-1)).Count(state.NewSession("w", serde.String, serde.Int64))
			},
			"node w: windows: gap -1ns: must be at least 1ms",
		},
		"late records of windows that nobody puts together": {
			func(s streams.Stream[string, string]) {
				s.GroupByKey().Window(windows.Tumbling(time.Minute)).Late().To(changes)
			},
			"node late: nothing is late, since nothing puts these windows together: " +
				"call Count, Reduce or an Aggregate function on what Late was called on",
		},
		"a table of another topology": {
			func(s streams.Stream[string, string]) {
				streams.Join(s, otherTable, func(string, string) string { return "" }).To(changes)
			},
			"node entries: it is joined with table elsewhere of another topology: describe both in one",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			top := streams.NewTopology()
			c.describe(streams.From(top, entries))
			err := top.Err()
			if err == nil {
				t.Fatal("no mistake was found")
			}
			if got := strings.Split(err.Error(), "\n"); !slices.Contains(got, c.want) {
				t.Errorf("got:\n%v\nwant the line:\n%s", err, c.want)
			}
		})
	}
}

func shout(s streams.Stream[string, string]) streams.Stream[string, string] {
	return streams.SelectKey(s, func(key, _ string) string { return strings.ToUpper(key) })
}
