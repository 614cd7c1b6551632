package streams

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/serde"
)

var lengths = state.NewKV("lengths", serde.String, serde.Int64)

// adding is a processor that adds up the lengths of values per key, and tells them at each multiple of ten of stream time, and by the
// wall clock each second.
type adding struct {
	store  *state.KVStore[string, int64]
	closed *int
	cancel func()
}

type addingContext = Context[string, string]

func (a *adding) Init(ctx *addingContext) (err error) {
	if a.store, err = KVStore(ctx, lengths); err != nil {
		return err
	}
	tell := func(prefix string) func(*addingContext, time.Time) error {
		return func(ctx *addingContext, now time.Time) error {
			for row, err := range a.store.Range(nil, nil) {
				if err != nil {
					return err
				}
				if err := ctx.Forward(Record[string, string]{Key: row.Key, Value: prefix + itoa(row.Value)}); err != nil {
					return err
				}
			}
			return nil
		}
	}
	ctx.Schedule(StreamTime, 10*time.Millisecond, tell("stream "))
	a.cancel = ctx.Schedule(WallClock, time.Second, tell("wall "))
	return nil
}

func (a *adding) Process(ctx *addingContext, r Record[string, string]) error {
	if r.NoKey {
		return ctx.Forward(Record[string, string]{NoKey: true, NoValue: true, Timestamp: time.UnixMilli(7)})
	}
	if r.Value == "cancel" {
		a.cancel()
	}
	sum, _, err := a.store.Get(r.Key)
	if err != nil {
		return err
	}
	return a.store.Put(r.Key, sum+int64(len(r.Value)))
}

func (a *adding) Close() { *a.closed++ }

func TestProcessorsHaveStoresAndTimers(t *testing.T) {
	closed := 0
	topology := NewTopology()
	Process(From(topology, texts), "adding", func() Processor[string, string, string, string] { return &adding{closed: &closed} },
		ProcessOptions{Stores: []state.Store{lengths}}).To(result)
	t.Run("", func(t *testing.T) {
		h := newHarness(t, topology)
		check := func(want ...string) {
			t.Helper()
			if got := h.text("out"); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			h.topics["out"] = nil
		}
		h.mustSend("in", 5, "a", "xx")
		h.mustSend("in", 9, "b", "y")
		check()
		h.mustSend("in", 10, "a", "z") // the timer comes after the record that moved the time
		check("a=stream 3@10", "b=stream 1@10")
		h.mustSend("in", 19, "a", "z")
		h.mustSend("in", 3, "a", "z")
		check()
		h.mustSend("in", 45, "a", "") // once, though it is over three multiples
		check("a=stream 5@45", "b=stream 1@45")
		if err := h.send("in", 46, nil, []byte("v")); err != nil {
			t.Fatal(err)
		}
		check("-=-@7")

		tick := func(after time.Duration) {
			t.Helper()
			h.now = h.now.Add(after)
			if err := h.tasks[0].Tick(t.Context(), h.now); err != nil {
				t.Fatal(err)
			}
		}
		tick(999 * time.Millisecond)
		check()
		tick(time.Millisecond)
		check("a=wall 5@1001000", "b=wall 1@1001000")
		tick(1500 * time.Millisecond)
		check("a=wall 5@1002500", "b=wall 1@1002500")
		h.mustSend("in", 47, "b", "cancel")
		tick(time.Minute)
		check()
		h.commit()
		changes := h.topics["app-lengths-changelog"]
		if len(changes) != 2 || changes[0].Timestamp.UnixMilli() != 45 || changes[1].Timestamp.UnixMilli() != 47 {
			t.Errorf("%q do not have the times of the records that made them", h.text("app-lengths-changelog"))
		}
	})
	if closed != 1 {
		t.Errorf("the processor was closed %d times", closed)
	}
}

// TestStreamTimersGoOnOverARestart commits in the middle of an interval: the next task fires at the same multiples.
func TestStreamTimersGoOnOverARestart(t *testing.T) {
	var fired []int64
	topology := NewTopology()
	Process(From(topology, texts), "timer", func() Processor[string, string, string, string] { return firing{&fired} },
		ProcessOptions{}).To(result)
	h := newHarness(t, topology)
	h.mustSend("in", 12, "k", "v")
	metadata := h.commit()["in"].Metadata
	again := newHarnessAt(t, topology, map[string]string{"in": metadata}, nil)
	if at := again.tasks[0].CommitID(); at != "1-s" {
		t.Errorf("goes on from commit %s", at)
	}
	again.mustSend("in", 11, "k", "v")
	again.mustSend("in", 20, "k", "v")
	if !slices.Equal(fired, []int64{20}) {
		t.Errorf("fired at %v", fired)
	}
}

type firing struct{ at *[]int64 }

func (f firing) Init(ctx *Context[string, string]) error {
	ctx.Schedule(StreamTime, 10*time.Millisecond, func(_ *Context[string, string], now time.Time) error {
		*f.at = append(*f.at, now.UnixMilli())
		return nil
	})
	return nil
}

func (f firing) Process(*Context[string, string], Record[string, string]) error { return nil }

// TestWhatComesBehindAProcessorIsNotItsPolicys has a node behind it fail: the processor's own policy does not swallow that, even if the
// processor does.
func TestWhatComesBehindAProcessorIsNotItsPolicys(t *testing.T) {
	for name, swallow := range map[string]bool{"returned": false, "swallowed": true} {
		topology := NewTopology()
		s := processFunc(From(topology, texts), ProcessOptions{OnError: Skip}, func(ctx *Context[string, string], r Record[string, string]) error {
			if err := ctx.Forward(r); !swallow {
				return err
			}
			return nil
		})
		TryMapValues(s, "behind", func(value string) (string, error) { return value, badness(value) }, Fail).To(result)
		err := newHarness(t, topology).send("in", 1, []byte("k"), []byte("bad"))
		checkNodeError(t, err, "behind", "in", 0)
		if !errors.Is(err, errWanted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// processFunc adds a processor of the name "own".
func processFunc(s Stream[string, string], options ProcessOptions, f ProcessFunc[string, string, string, string]) Stream[string, string] {
	return Process(s, "own", func() Processor[string, string, string, string] { return f }, options)
}

func TestForwardLeavesTheRecordInHandAsItIs(t *testing.T) {
	topology := NewTopology()
	processFunc(From(topology, texts), ProcessOptions{}, func(ctx *Context[string, string], r Record[string, string]) error {
		for _, forwarded := range []Record[string, string]{{Key: "a", NoValue: true, Timestamp: time.UnixMilli(99)}, r, {Value: "b", NoKey: true}} {
			if err := ctx.Forward(forwarded); err != nil {
				return err
			}
		}
		topic, partition, offset, ok := ctx.Source()
		if topic != "in" || partition != 0 || offset != 0 || !ok || ctx.StreamTime().UnixMilli() != 5 || ctx.Partition() != 0 ||
			ctx.Now().UnixMilli() != 1_000_000 || ctx.Context().Err() != nil {
			t.Errorf("%s-%d %d %v, stream time %v, now %v", topic, partition, offset, ok, ctx.StreamTime(), ctx.Now())
		}
		return nil
	}).To(result)
	h := newHarness(t, topology)
	if err := h.send("in", 5, []byte("k"), []byte("v"), header("h", "x")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(h.text("out"), " "); got != "a=-@99 k=v@5 -=b@5" {
		t.Error(got)
	}
	for i, headers := range []int{0, 1, 0} {
		if n := len(h.topics["out"][i].Headers); n != headers {
			t.Errorf("record %d has %d headers, want %d", i, n, headers)
		}
	}
}

func TestProcessorsOpenTheStoresThatTheyNamed(t *testing.T) {
	topology := NewTopology()
	processFunc(From(topology, texts), ProcessOptions{}, func(ctx *Context[string, string], r Record[string, string]) error {
		_, err := KVStore(ctx, lengths)
		return err
	}).To(result)
	err := newHarness(t, topology).send("in", 5, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "store lengths is not in its ProcessOptions.Stores") {
		t.Error(err)
	}
}

// TestProcessorsHaveStoresOfAllKinds opens them by their types only when a record comes: they are open for a restore before.
func TestProcessorsHaveStoresOfAllKinds(t *testing.T) {
	views := state.NewWindow("views", serde.String, serde.Int64)
	visits := state.NewSession("visits", serde.String, serde.Int64)
	topology := NewTopology()
	processFunc(From(topology, texts), ProcessOptions{Stores: []state.Store{views, visits, lengths}},
		func(ctx *Context[string, string], r Record[string, string]) error {
			windows, err := WindowStore(ctx, views)
			if err != nil {
				return err
			}
			sessions, err := SessionStore(ctx, visits)
			if err != nil {
				return err
			}
			at := r.Timestamp.UnixMilli()
			return errors.Join(windows.Put(r.Key, at, 1), sessions.Put(r.Key, []state.SessionOf[int64]{{StartMs: at, EndMs: at, Value: 2}}, at))
		}).To(result)
	h := newHarness(t, topology)
	for _, store := range []string{"views", "visits"} {
		if err := h.tasks[0].DB().Restore(store, []byte("12345678k"), nil, 0); err != nil {
			t.Error(err)
		}
	}
	if err := h.tasks[0].DB().RestoreDone(state.Position{}); err != nil {
		t.Fatal(err)
	}
	h.mustSend("in", 5, "k", "v")
	h.commit()
	for _, store := range []string{"views", "visits"} {
		if changes := h.topics["app-"+store+"-changelog"]; len(changes) != 1 || !changes[0].Timestamp.Equal(h.now) {
			t.Errorf("changes of %s: %v", store, changes)
		}
	}
	if changes := h.topics["app-lengths-changelog"]; len(changes) != 0 {
		t.Errorf("%d changes", len(changes))
	}
}

func TestErrorsOfTimersAndOfInitEndTheTask(t *testing.T) {
	topology := NewTopology()
	Process(From(topology, texts), "late", func() Processor[string, string, string, string] { return failingTimer{} },
		ProcessOptions{OnError: Skip}).To(result)
	err := newHarness(t, topology).send("in", 10, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, topology)
	h.mustSend("in", 9, "k", "v")
	err = h.send("in", 10, nil, nil)
	var where *engine.NodeError
	if !errors.As(err, &where) || where.Node != "late" || !errors.Is(err, errWanted) {
		t.Error(err)
	}
	processor := func() Processor[string, string, string, string] { return failingInit{} }
	initial := NewTopology()
	Process(From(initial, texts), "initial", processor, ProcessOptions{OnError: Skip}).To(result)
	if _, err := openHarness(t, initial, nil, nil); !errors.Is(err, errWanted) || !strings.Contains(err.Error(), "initial") {
		t.Error(err)
	}
}

type failingTimer struct{ firing }

func (failingTimer) Init(ctx *Context[string, string]) error {
	ctx.Schedule(StreamTime, 10*time.Millisecond, func(*Context[string, string], time.Time) error { return errWanted })
	return nil
}

type failingInit struct{ firing }

func (failingInit) Init(ctx *Context[string, string]) error { return errWanted }

// oddTimer sets a timer that cannot be, in Init or with the first record, and swallows nothing: Schedule itself tells the task.
type oddTimer struct {
	every  time.Duration
	do     func(*Context[string, string], time.Time) error
	inInit bool
}

func (o oddTimer) set(ctx *Context[string, string]) {
	cancel := ctx.Schedule(WallClock, o.every, o.do)
	cancel()
}

func (o oddTimer) Init(ctx *Context[string, string]) error {
	if o.inInit {
		o.set(ctx)
	}
	return nil
}

func (o oddTimer) Process(ctx *Context[string, string], r Record[string, string]) error {
	if !o.inInit {
		o.set(ctx)
	}
	return nil
}

func TestTimersGoByWholeMilliseconds(t *testing.T) {
	nothing := func(*Context[string, string], time.Time) error { return nil }
	whole := "the interval is whole milliseconds, at least 1ms"
	for _, c := range []struct {
		timer oddTimer
		want  string // "": it is taken
	}{
		{oddTimer{every: time.Millisecond, do: nothing}, ""},
		{oddTimer{every: 0, do: nothing}, "a timer every 0s: " + whole},
		{oddTimer{every: -time.Second, do: nothing}, "a timer every -1s: " + whole},
		{oddTimer{every: 999 * time.Microsecond, do: nothing}, "a timer every 999µs: " + whole},
		{oddTimer{every: 1500 * time.Microsecond, do: nothing}, "a timer every 1.5ms: " + whole},
		{oddTimer{every: time.Second}, "a timer every 1s without a function"},
	} {
		for _, c.timer.inInit = range []bool{false, true} {
			topology := NewTopology()
			Process(From(topology, texts), "odd", func() Processor[string, string, string, string] { return c.timer },
				ProcessOptions{OnError: Skip}).To(result)
			h, err := openHarness(t, topology, nil, nil)
			if err == nil {
				err = h.send("in", 1, nil, nil)
			}
			var where *engine.NodeError
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!errors.As(err, &where) || where.Node != "odd" || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		}
	}
}

func TestAConstructorThatReturnsNoProcessor(t *testing.T) {
	topology := NewTopology()
	Process(From(topology, texts), "none", func() Processor[string, string, string, string] { return nil }, ProcessOptions{}).To(result)
	if _, err := openHarness(t, topology, nil, nil); err == nil || !strings.Contains(err.Error(), "node none: processor returns nil") {
		t.Error(err)
	}
}
