package streams_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

// The files in testdata/kafka say what Kafka Streams 4.3.1 made of some hundred random records each, many of them out of order;
// e2e/clients/java/traces/StreamsTraces.java has written them, and describes the topologies.
//
// Some differences are meant:
//   - A session that a record joins without moving an end of it, Kafka takes away and sends again; we only send it again.
//   - Sessions that close together, we send in the order of their ends and keys, Kafka in that of their ends and starts.
//   - Windows do not count records without a value; the traces have none that reach them.
//   - A filtered table does not delete what it never had.
//   - A group of a table that has no rows left is deleted, and not 0; if it comes back, it begins anew.
const tracesDirectory = "testdata/kafka"

var (
	tracedInput  = streams.NewTopic("input", serde.String, serde.String)
	tracedTable  = streams.NewTopic("table", serde.String, serde.String)
	tracedJoined = streams.NewTopic("output", serde.String, serde.String)
	tracedCounts = streams.NewTopic("output", serde.Windowed(serde.String), serde.Int64)
)

// traceStep is a record that came in, and what went out before the next one did.
type traceStep struct {
	topic      string
	timestamp  time.Time
	key, value string // "-" is none
	out        []string
}

func readTrace(t *testing.T, name string) (steps []traceStep) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tracesDirectory, name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if words[0] == "out" {
			last := &steps[len(steps)-1]
			last.out = append(last.out, strings.Join(words[1:], " "))
			continue
		}
		ms, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, traceStep{topic: words[1], timestamp: time.UnixMilli(ms), key: words[3], value: words[4]})
	}
	return steps
}

// output is all that went out, without what only Kafka sends.
func output(steps []traceStep) (all []string) {
	for _, step := range steps {
		for i, line := range step.out {
			key, deletion := strings.CutSuffix(afterTimestamp(line), " -")
			if deletion && i+1 < len(step.out) && strings.HasPrefix(afterTimestamp(step.out[i+1]), key+" ") {
				continue
			}
			all = append(all, line)
		}
	}
	return all
}

func timestampOf(line string) int64 {
	timestamp, _, _ := strings.Cut(line, " ")
	ms, _ := strconv.ParseInt(timestamp, 10, 64)
	return ms
}

func keyOf(line string) string {
	key, _, _ := strings.Cut(afterTimestamp(line), "@")
	return key
}

func afterTimestamp(line string) string {
	_, rest, _ := strings.Cut(line, " ")
	return rest
}

func (s traceStep) send(d *streamstest.Driver) {
	options := []streamstest.SendOption{streamstest.At(s.timestamp)}
	if s.key == "-" {
		options = append(options, streamstest.NoKey())
	}
	topic := tracedInput
	if s.topic == "table" {
		topic = tracedTable
	}
	if s.value == "-" {
		streamstest.Delete(d, topic, s.key, options...)
	} else {
		streamstest.Send(d, topic, s.key, s.value, options...)
	}
}

func TestWindowsDoWhatKafkaStreamsDoes(t *testing.T) {
	const ms = time.Millisecond
	store := state.NewWindow("windows", serde.String, serde.Int64)
	sessions := state.NewSession("sessions", serde.String, serde.Int64)
	in := func(of windows.Time) func(streams.Grouped[string, string], windows.Emission) streams.WindowedTable[string, int64] {
		return func(g streams.Grouped[string, string], e windows.Emission) streams.WindowedTable[string, int64] {
			return g.Window(of).Emit(e).Count(store)
		}
	}
	inSessions := func(of windows.Session) func(streams.Grouped[string, string], windows.Emission) streams.WindowedTable[string, int64] {
		return func(g streams.Grouped[string, string], e windows.Emission) streams.WindowedTable[string, int64] {
			return g.Sessions(of).Emit(e).Count(sessions)
		}
	}
	for name, count := range map[string]func(streams.Grouped[string, string], windows.Emission) streams.WindowedTable[string, int64]{
		"tumbling":          in(windows.Tumbling(10 * ms).Grace(5 * ms)),
		"tumbling-no-grace": in(windows.Tumbling(10 * ms)),
		"hopping":           in(windows.Hopping(10*ms, 4*ms).Grace(3 * ms)),
		"sessions":          inSessions(windows.Sessions(5 * ms).Grace(4 * ms)),
		"sessions-no-grace": inSessions(windows.Sessions(5 * ms)),
	} {
		for suffix, emission := range map[string]windows.Emission{"-update": windows.OnUpdate, "-close": windows.OnClose} {
			t.Run(name+suffix, func(t *testing.T) {
				topology := streams.NewTopology()
				streams.WindowsToStream(count(streams.From(topology, tracedInput).GroupByKey(), emission)).To(tracedCounts)
				steps := readTrace(t, name+suffix)
				got := traceOf(runTrace(t, topology, steps), tracedCounts, func(k windows.Key[string]) string {
					return fmt.Sprintf("%s@%d/%d", k.Key, k.Window.StartMs, k.Window.EndMs)
				})
				want := output(steps)
				if strings.HasPrefix(name, "sessions") && emission == windows.OnClose {
					slices.SortStableFunc(want, func(a, b string) int {
						return cmp.Or(cmp.Compare(timestampOf(a), timestampOf(b)), strings.Compare(keyOf(a), keyOf(b)))
					})
				}
				compareTraces(t, got, want)
			})
		}
	}
}

// runTrace runs a trace in pieces, with crashes in the middle of their commits: they must not change anything.
func runTrace(t *testing.T, topology *streams.Topology, steps []traceStep) *streamstest.Driver {
	d := streamstest.New(t, topology, streamstest.Options{CommitEvery: 30, BatchMax: 20})
	for i, step := range steps {
		step.send(d)
		if i%50 == 25 {
			d.CrashAt(streamstest.Points()[i/50%len(streamstest.Points())], 1)
			d.Drain()
		}
	}
	d.Drain()
	if d.Faults() == 0 {
		t.Error("nothing crashed")
	}
	return d
}

func traceOf[K, V any](d *streamstest.Driver, topic streams.Topic[K, V], show func(K) string) (lines []string) {
	for _, r := range streamstest.Read(d, topic) {
		key, value := show(r.Key), fmt.Sprint(r.Value)
		if r.NoKey {
			key = "-"
		}
		if r.NoValue {
			value = "-"
		}
		lines = append(lines, fmt.Sprintf("%d %s %s", r.Timestamp.UnixMilli(), key, value))
	}
	return lines
}

func asIs(key string) string { return key }

func compareTraces(t *testing.T, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d of the output differs:\n  got  %q\n  want %q", i, got[i:min(i+4, len(got))], want[i:min(i+4, len(want))])
		}
	}
}

func TestTablesDoWhatKafkaStreamsDoes(t *testing.T) {
	rows := state.NewKV("rows", serde.String, serde.String)
	counts := state.NewKV("counts", serde.String, serde.Int64)
	tracedTotals := streams.NewTopic("output", serde.String, serde.Int64)
	byEnd := streams.NewTopic("by-end", serde.String, serde.String)
	tests := map[string]struct {
		describe func(*streams.Topology)
		trace    func(*streamstest.Driver) []string
		alike    func(lines []string) []string
	}{
		"count": {
			func(top *streams.Topology) {
				streams.From(top, tracedInput).GroupByKey().Count(counts).ToStream().To(tracedTotals)
			},
			func(d *streamstest.Driver) []string { return traceOf(d, tracedTotals, asIs) }, nil,
		},
		"table": {
			func(top *streams.Topology) { streams.TableFrom(top, tracedInput, rows).ToStream().To(tracedJoined) },
			func(d *streamstest.Driver) []string { return traceOf(d, tracedJoined, asIs) }, nil,
		},
		"table-filter": {
			func(top *streams.Topology) {
				even := func(_, v string) bool { n, _ := strconv.Atoi(v[1:]); return n%2 == 0 }
				streams.TableFrom(top, tracedInput, rows).Filter(even).ToStream().To(tracedJoined)
			},
			func(d *streamstest.Driver) []string { return traceOf(d, tracedJoined, asIs) }, withoutIdleDeletions,
		},
		"table-groups": {
			func(top *streams.Topology) {
				lastDigit := func(_, v string) (string, string) { return v[len(v)-1:], v }
				streams.GroupTable(streams.TableFrom(top, tracedInput, rows), byEnd, lastDigit).Count(counts).ToStream().To(tracedTotals)
			},
			func(d *streamstest.Driver) []string { return traceOf(d, tracedTotals, asIs) }, zeroIsNone,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			topology := streams.NewTopology()
			test.describe(topology)
			steps := readTrace(t, name)
			got, want := test.trace(runTrace(t, topology, steps)), output(steps)
			if test.alike != nil {
				got, want = test.alike(got), test.alike(want)
			}
			compareTraces(t, got, want)
		})
	}
}

// withoutIdleDeletions leaves out deletions of what is not there.
func withoutIdleDeletions(lines []string) (kept []string) {
	there := map[string]bool{}
	for _, line := range lines {
		words := strings.Fields(line)
		if exists := words[2] != "-"; exists || there[words[1]] {
			kept = append(kept, line)
			there[words[1]] = exists
		}
	}
	return kept
}

// zeroIsNone makes a count of 0, which Kafka keeps, a deletion, which it is here. Kafka keeps its timestamp, too, so they are left out.
func zeroIsNone(lines []string) (all []string) {
	for _, line := range lines {
		line = afterTimestamp(line)
		if rest, zero := strings.CutSuffix(line, " 0"); zero {
			line = rest + " -"
		}
		all = append(all, line)
	}
	return all
}

func TestJoinsDoWhatKafkaStreamsDoes(t *testing.T) {
	for _, name := range []string{"join", "left-join"} {
		t.Run(name, func(t *testing.T) {
			topology := streams.NewTopology()
			input := streams.From(topology, tracedInput)
			table := streams.TableFrom(topology, tracedTable, state.NewKV("rows", serde.String, serde.String))
			if name == "join" {
				streams.Join(input, table, func(v, row string) string { return v + "+" + row }).To(tracedJoined)
			} else {
				streams.LeftJoin(input, table, func(v string, row *string) string {
					if row == nil {
						return v + "+null"
					}
					return v + "+" + *row
				}).To(tracedJoined)
			}
			d := streamstest.New(t, topology, streamstest.Options{})
			steps := readTrace(t, name)
			for _, step := range steps {
				step.send(d)
				d.Drain() // each record meets the table as it is when it comes
			}
			compareTraces(t, traceOf(d, tracedJoined, asIs), output(steps))
		})
	}
}
