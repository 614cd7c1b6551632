package streams_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

var countedVisits = state.NewSession("counted-visits", serde.String, serde.Int64)

type textContext = streams.Context[string, string]

// teller tells what is in the stores of operators, at each multiple of 100 ms of stream time.
type teller struct {
	views  *state.WindowStore[string, int64]
	visits *state.SessionStore[string, int64]
}

func (l *teller) Init(ctx *textContext) (err error) {
	// A retention that is shorter than the windows need: it is the operators' that counts.
	if l.views, err = streams.WindowStore(ctx, inWindows.WithRetention(ms)); err != nil {
		return err
	}
	if l.visits, err = streams.SessionStore(ctx, countedVisits); err != nil {
		return err
	}
	ctx.Schedule(streams.StreamTime, 100*ms, l.tell)
	return nil
}

func (l *teller) tell(ctx *textContext, _ time.Time) error {
	for row, err := range l.views.Range(nil, nil, 0, math.MaxInt64) {
		if err != nil {
			return err
		}
		view := streams.Record[string, string]{Key: row.Key, Value: fmt.Sprintf("%d from %d", row.Value, row.StartMs)}
		if err := ctx.Forward(view); err != nil {
			return err
		}
	}
	sessions, err := l.visits.Get("a")
	for _, visit := range sessions {
		text := fmt.Sprintf("%d in %d-%d", visit.Value, visit.StartMs, visit.EndMs)
		if err := ctx.Forward(streams.Record[string, string]{Key: "a", Value: text}); err != nil {
			return err
		}
	}
	return err
}

func (l *teller) Process(*textContext, streams.Record[string, string]) error { return nil }

// TestProcessorsReadTheStoresOfWindows describes the processor before the operators and behind them, and loses disks in between: what the
// stores are, and how long windows are kept, is the operators' to say.
func TestProcessorsReadTheStoresOfWindows(t *testing.T) {
	operators := func(s streams.Stream[string, string]) {
		s.GroupByKey().Window(windows.Tumbling(100 * ms).Grace(time.Second)).Count(inWindows)
		s.GroupByKey().Sessions(windows.Sessions(50 * ms).Grace(time.Second)).Count(countedVisits)
	}
	told := streams.NewTopic("told", serde.String, serde.String)
	processor := func(s streams.Stream[string, string]) {
		streams.Process(s, "teller", func() streams.Processor[string, string, string, string] { return &teller{} },
			streams.ProcessOptions{Stores: []state.Store{inWindows.WithRetention(ms), countedVisits}}).To(told)
	}
	for name, steps := range map[string][]func(streams.Stream[string, string]){
		"operators first": {operators, processor},
		"processor first": {processor, operators},
	} {
		t.Run(name, func(t *testing.T) {
			topology := streams.NewTopology()
			for _, step := range steps {
				step(streams.From(topology, entries))
			}
			if err := topology.Err(); err != nil {
				t.Fatal(err)
			}
			for store, want := range map[string]string{"in-windows": "tumbling 100ms", "counted-visits": "sessions 50ms"} {
				if described, _ := topology.Describe().Store(store); described.Windows != want {
					t.Errorf("the windows of %s are %q, want %q", store, described.Windows, want)
				}
			}
			d := streamstest.New(t, topology, streamstest.Options{})
			send(d, entries, "a=x@10", "a=x@20", "b=x@30")
			expect(t, d, told)
			d.LoseDisks()
			send(d, entries, "a=x@110")
			d.LoseDisks()
			send(d, entries, "a=x@120", "a=x@200")
			open := []string{"a=2 from 0@110", "b=1 from 0@110", "a=1 from 100@110", "a=2 in 10-20@110", "a=1 in 110-110@110"}
			open = append(open, "a=2 from 0@200", "b=1 from 0@200", "a=2 from 100@200", "a=1 from 200@200",
				"a=2 in 10-20@200", "a=2 in 110-120@200", "a=1 in 200-200@200")
			expect(t, d, told, open...)
		})
	}
}

// TestStoresOfOneNameAreOne refuses what only looks like the operator's store.
func TestStoresOfOneNameAreOne(t *testing.T) {
	for name, store := range map[string]state.Store{
		"another kind":  state.NewSession("in-windows", serde.String, serde.Int64),
		"another codec": state.NewWindow("in-windows", serde.String, serde.String),
	} {
		topology := streams.NewTopology()
		s := streams.From(topology, entries)
		s.GroupByKey().Window(windows.Tumbling(time.Second)).Count(inWindows)
		streams.Process(s, "other", func() streams.Processor[string, string, string, string] { return &teller{} },
			streams.ProcessOptions{Stores: []state.Store{store}})
		if err := topology.Err(); err == nil {
			t.Errorf("%s: nothing is wrong", name)
		}
	}
}
