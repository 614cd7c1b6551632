package streams_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/streams/streamstest"
	"github.com/millrace/millrace/windows"
)

const (
	lastMs  = math.MaxInt64                                       // the end of time
	longest = math.MaxInt64 / time.Millisecond * time.Millisecond // 292 years
)

// A timestamp at the end of time closes all windows before it and breaks nothing, whatever their size.
func TestWindowsAtTheEndOfTime(t *testing.T) {
	for _, of := range []windows.Time{
		windows.Tumbling(1 * ms), windows.Tumbling(10 * ms), windows.Hopping(10*ms, 3*ms).Grace(time.Hour),
		windows.Tumbling(longest), windows.Tumbling(longest).Grace(longest),
	} {
		for _, emission := range []windows.Emission{windows.OnUpdate, windows.OnClose} {
			d := streamstest.New(t, countIn(of, emission), streamstest.Options{})
			send(d, entries, "a=x@5", fmt.Sprintf("b=x@%d", lastMs), "a=late@5")
			d.LoseDisks()
			send(d, entries, fmt.Sprintf("b=x@%d", lastMs), "c=late@0")
			if got := read(d, perWindow); !strings.HasPrefix(got[0], "a@1970-01-01T00:00:00.0") || !strings.HasSuffix(got[0], "=1@5") {
				t.Errorf("%v, %v: the first result is %s", of, emission, got[0])
			} else if last := got[len(got)-1]; emission == windows.OnUpdate && last[:1]+last[len(last)-22:] != fmt.Sprintf("b=2@%d", lastMs) {
				t.Errorf("%v: the last result is %s", of, last)
			}
			expect(t, d, tooLate, "a=late@5", "c=late@0")
		}
	}
}

func TestSessionsAtTheEndOfTime(t *testing.T) {
	for _, gap := range []time.Duration{ms, longest} {
		d := streamstest.New(t, joinIn(windows.Sessions(gap).Grace(gap), windows.OnUpdate), streamstest.Options{})
		send(d, entries, "a=x@5", fmt.Sprintf("b=y@%d", lastMs), "a=late@5")
		d.LoseDisks()
		send(d, entries, fmt.Sprintf("b=z@%d", lastMs-1))
		expect(t, d, perSession, in("a", 5, 5)+"=x@5", in("b", lastMs, lastMs)+fmt.Sprintf("=y@%d", lastMs),
			in("b", lastMs, lastMs)+fmt.Sprintf("=-@%d", lastMs), in("b", lastMs-1, lastMs)+fmt.Sprintf("=y+z@%d", lastMs))
		expect(t, d, tooLate, "a=late@5")
	}
}

// What closed windows are passed on to uses other stores of the task, while the closed windows are still being read.
func TestClosedWindowsGoIntoAnotherStore(t *testing.T) {
	top := streams.NewTopology()
	total := state.NewKV("total", serde.String, serde.Int64)
	w := streams.From(top, entries).GroupByKey().Window(windows.Tumbling(10 * ms)).Emit(windows.OnClose)
	streams.Process(streams.WindowsToStream(w.Count(inWindows)), "sum",
		func() streams.Processor[windows.Key[string], int64, string, int64] { return &summing{store: total} },
		streams.ProcessOptions{Stores: []state.Store{total}})

	d := streamstest.New(t, top, streamstest.Options{CommitEvery: 3, BatchMax: 2, CacheBytes: 1, FlushRecords: 1})
	for i := range int64(300) {
		streamstest.Send(d, entries, fmt.Sprint(i%7), "x", at(i))
	}
	d.Drain()
	sum := int64(0)
	for _, n := range streamstest.KV(d, total) {
		sum += n
	}
	if sum != 290 {
		t.Errorf("%d records were in closed windows, want 290", sum)
	}
}

// summing adds up the results of all windows of a key.
type summing struct {
	store state.KV[string, int64]
	kept  *state.KVStore[string, int64]
}

func (s *summing) Init(ctx *streams.Context[string, int64]) (err error) {
	s.kept, err = streams.KVStore(ctx, s.store)
	return err
}

func (s *summing) Process(_ *streams.Context[string, int64], r streams.Record[windows.Key[string], int64]) error {
	sum, _, err := s.kept.Get(r.Key.Key)
	return errors.Join(err, s.kept.Put(r.Key.Key, sum+r.Value))
}

// Keys are what their bytes are: one that is not equal to itself is still one key.
func TestNaNIsAKey(t *testing.T) {
	top := streams.NewTopology()
	store := state.NewKV("by-number", serde.Float64, serde.Int64)
	streams.GroupBy(streams.From(top, entries), streams.NewTopic("numbers", serde.Float64, serde.String),
		func(string, string) float64 { return math.NaN() }).Count(store)

	d := streamstest.New(t, top, streamstest.Options{})
	send(d, entries, "a=x@1", "b=y@2")
	all := streamstest.KV(d, store)
	for _, n := range all {
		if n != 2 || len(all) != 1 {
			t.Errorf("got %v, want one key with 2", all)
		}
	}
}

func TestAnAggregateThatDoesNotEncodeNamesItsStore(t *testing.T) {
	top := streams.NewTopology()
	streams.Aggregate(streams.From(top, entries).GroupByKey(), state.NewKV("means", serde.String, serde.JSON[float64]()),
		func() float64 { return 0 }, func(_, _ string, mean float64) float64 { return mean / mean })

	d := streamstest.New(t, top, streamstest.Options{})
	streamstest.Send(d, entries, "k", "v")
	if err := d.DrainError(); err == nil || !strings.Contains(err.Error(), "store means: encode a value with codec json") {
		t.Errorf("got %v", err)
	}
}

func TestAPanicInAnAggregateNamesNodeAndRecord(t *testing.T) {
	top := streams.NewTopology()
	streams.From(top, entries).GroupByKey().Window(windows.Tumbling(10*ms)).
		Reduce(state.NewWindow("newest", serde.String, serde.String), func(string, string) string { panic("no such luck") })

	d := streamstest.New(t, top, streamstest.Options{})
	streamstest.Send(d, entries, "k", "first", at(1))
	streamstest.Send(d, entries, "k", "second", at(2))
	if err := d.DrainError(); err == nil || !strings.HasPrefix(err.Error(), "node newest, offset 1 of entries-0: panic: no such luck") {
		t.Errorf("got %v", err)
	}
}

func TestTheEmptyKeyIsAGroup(t *testing.T) {
	top := streams.NewTopology()
	store := state.NewKV("people", serde.String, serde.Int64)
	streams.GroupTable(userTable(top), streams.NewTopic("all", serde.String, serde.String),
		func(string, string) (string, string) { return "", "" }).Count(store)

	d := streamstest.New(t, top, streamstest.Options{Partitions: map[string]int{"users": 3}})
	send(d, users, "ann=rome@1", "=oslo@2", "ann=bonn@3", "bob=-@4")
	if n, _ := streamstest.Get(d, store, ""); n != 2 {
		t.Errorf("got %d, want 2", n)
	}
}
