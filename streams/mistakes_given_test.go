package streams_test

import (
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
)

type (
	texts     = streams.Stream[string, string]
	processes = func() streams.Processor[string, string, string, string]
)

// TestWhatOperatorsAreNotGiven gives each operator nothing for one of its arguments: that is a mistake that names node and argument.
func TestWhatOperatorsAreNotGiven(t *testing.T) {
	kv := state.NewKV("kv", serde.String, serde.String)
	counts := state.NewKV("counted", serde.String, serde.Int64)
	window := state.NewWindow("window", serde.String, serde.String)
	session := state.NewSession("session", serde.String, serde.String)
	through := streams.NewTopic("through", serde.String, serde.String)
	same := func(value string) string { return value }
	first := func(a, _ string) string { return a }
	keep := func(_, _, a string) string { return a }
	empty := func() string { return "" }
	yes := func(string, string) bool { return true }
	grouped := func(s texts) streams.GroupedTable[string, string] {
		return streams.GroupTable(s.GroupByKey().Reduce(kv, first), through, func(key, value string) (string, string) { return key, value })
	}
	minutes := windows.Tumbling(time.Minute)
	visits := windows.Sessions(time.Minute)
	for want, describe := range map[string]func(s texts){
		"node op-1: filter: the argument keep":       func(s texts) { s.Filter(nil) },
		"node op-1: filter-not: the argument drop":   func(s texts) { s.FilterNot(nil) },
		"node op-1: peek: the argument see":          func(s texts) { s.Peek(nil) },
		"node op-1: map-values: the argument f":      func(s texts) { streams.MapValues[string, string, string](s, nil) },
		"node op-1: map: the argument f":             func(s texts) { streams.Map[string, string, string, string](s, nil) },
		"node op-1: select-key: the argument f":      func(s texts) { streams.SelectKey[string, string, string](s, nil) },
		"node op-1: flat-map-values: the argument f": func(s texts) { streams.FlatMapValues[string, string, string](s, nil) },
		"node op-1: flat-map: the argument f":        func(s texts) { streams.FlatMap[string, string, string, string](s, nil) },
		"node n: try-filter: the argument keep":      func(s texts) { streams.TryFilter(s, "n", nil, streams.Skip) },
		"node n: try-map-values: the argument f":     func(s texts) { streams.TryMapValues[string, string, string](s, "n", nil, streams.Skip) },
		"node n: try-map: the argument f":            func(s texts) { streams.TryMap[string, string, string, string](s, "n", nil, streams.Skip) },
		"node n: try-flat-map-values: the argument f": func(s texts) {
			streams.TryFlatMapValues(s, "n", (func(string) (iter.Seq[int], error))(nil), streams.Skip)
		},
		"node n: process: the argument processor":            func(s texts) { streams.Process(s, "n", processes(nil), streams.ProcessOptions{}) },
		"node op-1: branch: the argument predicate 1":        func(s texts) { s.Branch(yes, nil) },
		"node op-1: branch: the argument predicate 0":        func(s texts) { s.Split().Branch("none", nil).Streams("") },
		"node op-1: select-key: the argument f is nil: give": func(s texts) { streams.GroupBy(s, through, nil).Count(counts) },
		"node kv: reduce: the argument reduce":               func(s texts) { s.GroupByKey().Reduce(kv, nil) },
		"node kv: aggregate: the argument init":              func(s texts) { streams.Aggregate(s.GroupByKey(), kv, nil, keep) },
		"node kv: aggregate: the argument add":               func(s texts) { streams.Aggregate(s.GroupByKey(), kv, empty, nil) },
		"node window: reduce: the argument reduce":           func(s texts) { s.GroupByKey().Window(minutes).Reduce(window, nil) },
		"node window: aggregate: the argument add": func(s texts) {
			streams.AggregateWindows(s.GroupByKey().Window(minutes), window, empty, nil)
		},
		"node session: reduce: the argument reduce": func(s texts) { s.GroupByKey().Sessions(visits).Reduce(session, nil) },
		"node session: aggregate: the argument merge": func(s texts) {
			streams.AggregateSessions(s.GroupByKey().Sessions(visits), session, empty, keep, nil)
		},
		"node op-1: filter: the argument keep is": func(s texts) { s.GroupByKey().Reduce(kv, first).Filter(nil) },
		"node op-1: map-values: the argument f is": func(s texts) {
			streams.MapTableValues[string, string, string](s.GroupByKey().Reduce(kv, first), nil)
		},
		"node op-1: group-table: the argument group": func(s texts) {
			streams.GroupTable[string, string, string, string](s.GroupByKey().Reduce(kv, first), through, nil)
		},
		"node counted: reduce: the argument add": func(s texts) {
			grouped(s).Reduce(state.NewKV("counted", serde.String, serde.String), nil, first)
		},
		"node counted: reduce: the argument subtract": func(s texts) {
			grouped(s).Reduce(state.NewKV("counted", serde.String, serde.String), first, nil)
		},
		"node counted: aggregate: the argument subtract": func(s texts) {
			streams.AggregateTable(grouped(s), state.NewKV("counted", serde.String, serde.String), empty, keep, nil)
		},
		"node op-1: join: the argument join": func(s texts) {
			streams.Join[string, string, string, string](s, s.GroupByKey().Reduce(kv, first), nil)
		},
		"node op-1: left-join: the argument join": func(s texts) {
			streams.LeftJoin[string, string, string, string](s, s.GroupByKey().Reduce(kv, first), nil)
		},
		"node totals: sink: the argument of PartitionBy": func(s texts) { s.To(totalTexts, streams.PartitionBy[string, string](nil)) },
		"node totals: one of its options is nil":         func(s texts) { s.To(totalTexts, nil) },
		"node n: one of its stores is nil": func(s texts) {
			streams.Process(s, "n", processorOf(nil), streams.ProcessOptions{Stores: []state.Store{nil}})
		},
		"node bare: the store lacks the codec of its keys": func(s texts) {
			streams.Process(s, "n", processorOf(nil), streams.ProcessOptions{Stores: []state.Store{state.NewKV[string, string]("bare", nil, nil)}})
		},
		"node op-1: it merges a zero Stream":         func(s texts) { s.Merge(texts{}).Filter(yes).To(totalTexts) },
		"node op-1: it merges a zero Stream: begin":  func(s texts) { texts{}.Merge(s, texts{}).To(totalTexts) },
		"node entries: join with a zero Table":       func(s texts) { streams.Join(s, streams.Table[string, string]{}, first).To(totalTexts) },
		"node op-1: join with a zero Table":          func(s texts) { streams.Join(streams.MapValues(s, same), streams.Table[string, string]{}, first) },
		"node kv: join with a zero Stream":           func(s texts) { streams.Join(texts{}, s.GroupByKey().Reduce(kv, first), first).To(totalTexts) },
		"node kv: left-join with a zero Stream":      func(s texts) { streams.LeftJoin(texts{}, s.GroupByKey().Reduce(kv, first), orNone).To(totalTexts) },
		"node entries: left-join with a zero Table":  func(s texts) { streams.LeftJoin(s, streams.Table[string, string]{}, orNone).Filter(yes) },
		"node : the topic lacks the codec of its ke": func(s texts) { s.To(streams.Topic[string, string]{}) },
		"node : the store lacks the codec of its ke": func(s texts) { s.GroupByKey().Count(state.KV[string, int64]{}) },
	} {
		topology := &streams.Topology{}
		describe(streams.From(topology, entries))
		checkMistake(t, topology, want)
	}
}

var totalTexts = streams.NewTopic("totals", serde.String, serde.String)

func orNone(value string, _ *string) string { return value }

func processorOf(p streams.Processor[string, string, string, string]) processes {
	return func() streams.Processor[string, string, string, string] { return p }
}

// checkMistake looks for a line that begins with want among the mistakes of a topology, which can be described nevertheless.
func checkMistake(t *testing.T, topology *streams.Topology, want string) {
	t.Helper()
	_, err := streams.New(topology, streams.Config{App: "app", Brokers: []string{"localhost:1"}})
	if err == nil {
		t.Errorf("nothing is wrong, want %q", want)
		return
	}
	lines := strings.Split(strings.TrimPrefix(err.Error(), "streams: topology: "), "\n")
	if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) }) {
		t.Errorf("got:\n%v\nwant a line that begins with:\n%s", err, want)
	}
	if topology.Describe().String() == "" {
		t.Error("it has no description")
	}
}

func TestWhatSourcesAreNotGiven(t *testing.T) {
	for want, option := range map[string]streams.SourceOption{
		"node entries: source: the argument of TimestampBy is nil": streams.TimestampBy[string, string](nil),
		"node entries: one of its options is nil":                  nil,
	} {
		topology := streams.NewTopology()
		streams.From(topology, entries, option).To(totalTexts)
		checkMistake(t, topology, want)
	}
	topology := &streams.Topology{}
	streams.TableFrom(topology, entries, state.KV[string, string]{}).ToStream().To(totalTexts)
	checkMistake(t, topology, "node : the store lacks the codec")
	checkMistake(t, &streams.Topology{}, "the topology reads no topic")
	if _, err := streams.New(nil, streams.Config{}); err == nil || !strings.Contains(err.Error(), "describe one that NewTopology returns") {
		t.Errorf("a nil topology: %v", err)
	}
}

// TestTheZeroTopologyIsEmpty describes one with all that it keeps, and a task is made of it.
func TestTheZeroTopologyIsEmpty(t *testing.T) {
	topology := &streams.Topology{}
	s := streams.From(topology, entries)
	s.GroupByKey().Count(state.NewKV("counted", serde.String, serde.Int64))
	streams.Process(s, "n", processorOf(&teller{}), streams.ProcessOptions{Stores: []state.Store{inWindows}})
	if err := topology.Err(); err != nil {
		t.Error(err)
	}
}

// TestNamesThatKafkaDoesNotTake has each name that a user gives say what is allowed.
func TestNamesThatKafkaDoesNotTake(t *testing.T) {
	const allowed = "a name has a-z, A-Z, 0-9, '.', '_' and '-' only"
	dead := func(topic string) func(texts) {
		return func(s texts) {
			streams.TryFilter(s, "n", func(string, string) (bool, error) { return true, nil }, streams.DeadLetter(topic))
		}
	}
	to := func(topic string) func(texts) {
		return func(s texts) { s.To(streams.NewTopic(topic, serde.String, serde.String)) }
	}
	long := strings.Repeat("x", 250)
	for want, describe := range map[string]func(texts){
		`node n: DeadLetter("bad name!"): ` + allowed + `, not ' '`: dead("bad name!"),
		`node n: DeadLetter(""): it has no name`:                    dead(""),
		`node n: DeadLetter(".."): dots alone are no name: `:        dead(".."),
		`node n: DeadLetter("` + long + `"): the name has 250`:      dead(long),
		`node totals: DeadLetter("a/b"): `:                          func(s texts) { s.To(totalTexts, streams.OnProduceError(streams.DeadLetter("a/b"))) },
		`node own: DeadLetter("a/b"): `: func(s texts) {
			streams.Process(s, "own", processorOf(nil), streams.ProcessOptions{OnError: streams.DeadLetter("a/b")})
		},
		`topic "ü": ` + allowed + `, not 'ü'`:                       to("ü"),
		`topic "..": dots alone are no name`:                        to(".."),
		`topic "": it has no name`:                                  to(""),
		`topic "` + long + `": the name has 250 bytes, at most 249`: to(long),
		`topic "` + long[:151] + `": the name has 151 bytes, at most 150`: func(s texts) {
			s.Repartition(streams.NewTopic(long[:151], serde.String, serde.String))
		},
		`store "a b": ` + allowed: func(s texts) { s.GroupByKey().Count(state.NewKV("a b", serde.String, serde.Int64)) },
		`node a b: process: ` + allowed: func(s texts) {
			streams.Process(s, "a b", processorOf(nil), streams.ProcessOptions{})
		},
		`node a/b: try-filter: ` + allowed: func(s texts) {
			streams.TryFilter(s, "a/b", func(string, string) (bool, error) { return true, nil }, streams.Fail)
		},
		`node try-filter: it has no name`: func(s texts) {
			streams.TryFilter(s, "", func(string, string) (bool, error) { return true, nil }, streams.Fail)
		},
	} {
		topology := streams.NewTopology()
		describe(streams.From(topology, entries))
		checkMistake(t, topology, want)
	}
	topology := streams.NewTopology()
	streams.From(topology, entries, streams.OnDecodeError(streams.DeadLetter("a/b"))).To(totalTexts)
	checkMistake(t, topology, `node entries: DeadLetter("a/b"): `)
	good := streams.NewTopology()
	to(long[:249])(streams.From(good, entries, streams.OnDecodeError(streams.DeadLetter(long[:249]))))
	if err := good.Err(); err != nil {
		t.Error(err)
	}
	_, err := streams.New(good, streams.Config{App: "a b", Brokers: []string{"localhost:1"}})
	if err == nil || !strings.Contains(err.Error(), `Config.App is "a b": it has up to 64 of a-z, A-Z, 0-9, '.', '_' and '-'`) {
		t.Error(err)
	}
}

// TestOperatorsOfNothingSayWhatIsMissing: what no topology can be told of, the caller is told in words.
func TestOperatorsOfNothingSayWhatIsMissing(t *testing.T) {
	for name, call := range map[string]func(){
		"a stream":          func() { texts{}.To(totalTexts) },
		"a filter":          func() { texts{}.Filter(nil) },
		"a process":         func() { streams.Process(texts{}, "n", processes(nil), streams.ProcessOptions{}) },
		"a try":             func() { streams.TryFilter(texts{}, "n", nil, streams.Skip) },
		"a merge":           func() { texts{}.Merge(texts{}) },
		"branches":          func() { texts{}.Split().Branch("b", nil).Streams("") },
		"a group":           func() { texts{}.GroupByKey() },
		"a repartition":     func() { texts{}.Repartition(totalTexts) },
		"a table":           func() { streams.Table[string, string]{}.ToStream() },
		"a grouped table":   func() { streams.GroupTable[string, string](streams.Table[string, string]{}, totalTexts, nil) },
		"zero windows":      func() { streams.Windowed[string, string]{}.Late() },
		"no topology":       func() { streams.From(nil, entries) },
		"a join of nothing": func() { streams.Join(texts{}, streams.Table[string, string]{}, func(a, _ string) string { return a }) },
	} {
		func() {
			defer func() {
				if text, is := recover().(string); !is || !strings.HasPrefix(text, "streams: ") {
					t.Errorf("%s: %v", name, text)
				}
			}()
			call()
		}()
	}
}
