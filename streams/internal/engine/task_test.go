package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/graph"
	"github.com/millrace/millrace/streams/serde"
)

// counting is a sub-topology that counts the records of topic "in" by key, and writes each count to "out".
var counts = state.NewKV("counts", serde.String, serde.Int64)

type world struct {
	t        *testing.T
	dir      string
	produced []*kgo.Record // the task's own
	failing  error         // what Produce returns
	next     int64         // offset of the next record of any topic
	bytesMax int
	counters *Counters
	now      time.Time
	step     time.Duration // that each look at the clock takes
	session  string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, dir: t.TempDir(), counters: NewCounters(), now: time.UnixMilli(1000), session: "s"}
}

func (w *world) environment() Environment {
	return Environment{
		App: "app", Session: w.session, State: state.Options{Dir: w.dir}, RecordBytesMaxOf: func(string) int { return cmp.Or(w.bytesMax, recordBytesMaxDefault) },
		Produce: func(records ...*kgo.Record) error {
			for _, record := range records {
				record.Offset = w.next
				w.next++
			}
			w.produced = append(w.produced, records...)
			return w.failing
		},
		Now:          func() time.Time { w.now = w.now.Add(w.step); return w.now },
		PartitionsOf: func(topic string) int { return map[string]int{"in": 4, "out": 4, "other": 1}[topic] },
		Counters:     w.counters,
	}
}

func counting(receive func(*Site, *state.KVStore[string, int64], *Sink) Receiver) *Subtopology {
	described := &graph.Topology{}
	described.AddTopic(graph.Topic{Name: "in"})
	return &Subtopology{
		Subtopology: &graph.Subtopology{Name: "counts", Sources: []string{"in", "other"}}, Graph: described,
		Stores: []state.Spec{counts.Spec()},
		Build: func(s *Site) (map[string]Input, error) {
			store, err := state.OpenKV(s.DB(), counts)
			if err != nil {
				return nil, err
			}
			s.Clock("counts", 0, 0)
			sink := s.Sink(s.Node("out"), "out", Policy{})
			return map[string]Input{"in": {Receive: receive(s, store, sink)}, "other": {}}, nil
		},
	}
}

// count is the receiver of counting that does what it says.
func count(s *Site, store *state.KVStore[string, int64], sink *Sink) Receiver {
	source := s.Node("in")
	return func(record *kgo.Record) error {
		m := s.Begin(source, record)
		s.Observe(record.Timestamp.UnixMilli())
		s.Clock("counts", 0, 0).Observe(m.TimestampMs, s.NowMs())
		entry, err := store.Edit(string(record.Key))
		if err != nil {
			return err
		}
		entry.Set(entry.Value+1, m.TimestampMs)
		data := append(sink.Buffer(), record.Key...)
		data = fmt.Append(data, entry.Value)
		return sink.Emit(data, len(record.Key), m)
	}
}

// open opens the task, restores it from records, and lets it resume.
func (w *world) open(sub *Subtopology, metadata string, changes ...*kgo.Record) *Task {
	w.t.Helper()
	task, err := OpenTask(sub, TaskID{Subtopology: "counts", Partition: 2}, w.environment())
	if err != nil {
		w.t.Fatal(err)
	}
	log := task.Changelogs()[0]
	if log.Store != "counts" || log.Topic != "app-counts-changelog" || log.Partition != 2 {
		w.t.Errorf("changelog %+v", log)
	}
	next := log.NextOffset
	for _, change := range changes {
		if change.Offset < log.NextOffset {
			continue
		}
		if err := task.Restore("counts", []*kgo.Record{change}); err != nil {
			w.t.Fatal(err)
		}
		next = change.Offset + 1
	}
	contained := map[string]state.Changelog{"counts": {TopicID: [16]byte{1}, NextOffset: next}}
	if err := errors.Join(task.RestoreDone(contained), task.Resume(map[string]string{"in": metadata})); err != nil {
		w.t.Fatal(err)
	}
	return task
}

func (w *world) add(task *Task, from int64, keys ...string) {
	w.t.Helper()
	var records []*kgo.Record
	for i, key := range keys {
		records = append(records, &kgo.Record{Topic: "in", Partition: 2, Key: []byte(key), Value: []byte{}, Offset: from + int64(i),
			Timestamp: time.UnixMilli(from + int64(i)), LeaderEpoch: 5})
	}
	next := from + int64(len(keys)) + 1 // behind a marker
	if err := task.Add("in", records, next, next); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) process(task *Task) {
	w.t.Helper()
	if err := task.Process(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) prepare(task *Task) consumer.Offset {
	w.t.Helper()
	offsets, err := task.Prepare(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if len(offsets) != 1 {
		w.t.Errorf("offsets %v; topic other has no partition 2", offsets)
	}
	return offsets["in"]
}

// take returns copies of what was produced to a topic since the last call with it.
func (w *world) take(topic string) (taken []*kgo.Record) {
	w.produced = slices.DeleteFunc(w.produced, func(record *kgo.Record) bool {
		if record.Topic == topic {
			kept := *record
			kept.Key, kept.Value = slices.Clone(record.Key), slices.Clone(record.Value)
			taken = append(taken, &kept)
		}
		return record.Topic == topic
	})
	return taken
}

func TestTaskCommitsAndGoesOn(t *testing.T) {
	w := newWorld(t)
	task := w.open(counting(count), "")
	if first := w.prepare(task); first.At != -1 || task.CommitID() != "1-s" {
		t.Errorf("%+v, commit %s: nothing was read yet", first, task.CommitID())
	}
	w.add(task, 10, "a", "b", "a")
	if n := task.Queued("in"); n != 3 {
		t.Errorf("%d wait", n)
	}
	w.process(task)
	if gauges := w.counters.Inputs()[0]; gauges != (InputGauges{Topic: "in", WatermarkMs: 12}) {
		t.Errorf("%+v", gauges)
	}
	out := w.take("out")
	if len(out) != 3 || string(out[2].Key) != "a" || string(out[2].Value) != "2" || out[2].Timestamp.UnixMilli() != 12 {
		t.Fatalf("%d records out: %s=%s@%v", len(out), out[2].Key, out[2].Value, out[2].Timestamp.UnixMilli())
	}
	offset := w.prepare(task)
	if offset.At != 14 || offset.LeaderEpoch != -1 || CommitID(offset.Metadata) != "2-s" || task.CommitID() != "2-s" {
		t.Errorf("%+v, commit %s", offset, task.CommitID())
	}
	changes := w.take("app-counts-changelog")
	if len(changes) != 2 || changes[0].Partition != 2 || string(changes[0].Key) != "a" {
		t.Fatalf("%d changes", len(changes))
	}
	if err := task.Committed(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := w.prepare(task); again != offset || len(w.produced) > 0 {
		t.Errorf("%+v is prepared, though nothing has happened since %+v; %d records", again, offset, len(w.produced))
	}
	if log := task.Changelogs()[0]; log.NextOffset != changes[1].Offset+1 || log.TopicID != [16]byte{1} {
		t.Errorf("%+v, the last change has offset %d", log, changes[1].Offset)
	}
	// What is processed and not committed is gone with the task.
	w.add(task, 20, "a")
	w.process(task)
	w.prepare(task)
	w.take("app-counts-changelog")
	w.take("out")
	if err := task.Close(); err != nil {
		t.Fatal(err)
	}
	checkGoesOn(t, w, offset.Metadata, changes)
	w.dir = t.TempDir() // the disk is lost
	checkGoesOn(t, w, offset.Metadata, changes)
}

// checkGoesOn opens the task again after the second commit: with a=2, b=1, stream time 12.
func checkGoesOn(t *testing.T, w *world, metadata string, changes []*kgo.Record) {
	t.Helper()
	w.session = "again"
	task := w.open(counting(count), metadata, changes...)
	defer task.Close()
	if task.site.StreamMs() != 12 || task.site.Clock("counts", 0, 0).StreamMs() != 12 {
		t.Errorf("stream times %d and %d, want 12", task.site.StreamMs(), task.site.Clock("counts", 0, 0).StreamMs())
	}
	w.add(task, 3, "a", "b", "c")
	w.process(task)
	got := ""
	for _, record := range w.take("out") {
		got += fmt.Sprintf("%s%s ", record.Key, record.Value)
	}
	if got != "a3 b2 c1 " {
		t.Errorf("counts go on as %s", got)
	}
	if w.prepare(task); task.CommitID() != "3-again" {
		t.Errorf("commit %s", task.CommitID())
	}
	w.take("app-counts-changelog")
}

func TestATaskStopsBetweenRecords(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	task := w.open(counting(func(s *Site, store *state.KVStore[string, int64], sink *Sink) Receiver {
		receive := count(s, store, sink)
		return func(record *kgo.Record) error {
			if string(record.Key) == "end" {
				cancel()
				<-ended
			}
			return receive(record)
		}
	}), "")
	defer task.Close()
	context.AfterFunc(ctx, func() { close(ended) }) // the task's own, added later, may run later: it sees the next record at most
	w.add(task, 0, "a", "end", "b", "b", "b")
	if err := task.Process(ctx); err != nil {
		t.Fatal(err)
	}
	if lag := w.counters.Inputs()[0].LagRecords; lag != 6-w.prepare(task).At {
		t.Errorf("the lag is %d", lag)
	}
	if at := w.prepare(task).At; at < 2 || at > 6 || len(w.produced) == 0 {
		t.Errorf("goes on at %d, %d produced", at, len(w.produced))
	}
	if err := task.Process(ctx); err != nil {
		t.Error("an ended context is no error")
	}
	w.process(task)
	if at := w.prepare(task).At; at != 6 {
		t.Errorf("goes on at %d", at)
	}
}

func TestErrorsOfATask(t *testing.T) {
	w := newWorld(t)
	w.bytesMax = 200
	task := w.open(counting(func(s *Site, store *state.KVStore[string, int64], _ *Sink) Receiver {
		return func(record *kgo.Record) error {
			if string(record.Key) == "panic" {
				panic("boom")
			}
			return store.Put(strings.Repeat("long", 50), 1)
		}
	}), "")
	w.add(task, 0, "a")
	w.process(task)
	_, err := task.Prepare(t.Context())
	var where *NodeError
	if !errors.As(err, &where) || where.Node != "counts" || !strings.Contains(err.Error(), "keep less in a value") {
		t.Errorf("a change that is too large: %v", err)
	}
	w.add(task, 2, "panic")
	if err := task.Process(t.Context()); !errors.As(err, &where) || !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
	if err := task.Add("unknown", nil, 0, 0); err == nil || !strings.Contains(err.Error(), "does not read topic unknown") {
		t.Error(err)
	}
	if err := task.Close(); err != nil {
		t.Error(err)
	}

	w = newWorld(t)
	task = w.open(counting(count), "")
	defer task.Close()
	w.failing = context.DeadlineExceeded
	w.add(task, 0, "a")
	if err := task.Process(t.Context()); err != w.failing {
		t.Errorf("%v is not the producer's error", err)
	}
	sub := counting(count)
	sub.Build = func(*Site) (map[string]Input, error) { return nil, errors.New("cannot be built") }
	w.dir = t.TempDir()
	if _, err := OpenTask(sub, TaskID{Subtopology: "counts", Partition: 2}, w.environment()); err == nil ||
		!strings.Contains(err.Error(), "task counts/2: cannot be built") {
		t.Error(err)
	}
	if n, _, _ := w.counters.Tasks(); n != 1 {
		t.Errorf("%d tasks are counted, one runs", n)
	}
}

// TestSlowRecordsMakeSlicesShort lets a record take as long as several slices may: queries have their turn between records.
func TestSlowRecordsMakeSlicesShort(t *testing.T) {
	w := newWorld(t)
	task := w.open(counting(count), "")
	defer task.Close()
	slow := func(step time.Duration, from int64, slices int) {
		w.step = step
		for i := range slices {
			w.add(task, from+int64(2*i), "a")
			w.process(task)
		}
	}
	slow(2*sliceTimeMax, 0, 20)
	if task.sliceRecords != 1 {
		t.Errorf("slices of %d records", task.sliceRecords)
	}
	slow(0, 100, 20)
	if task.sliceRecords != sliceRecordsMax {
		t.Errorf("slices of %d records", task.sliceRecords)
	}
}

func TestATaskSaysWhatItIsDoing(t *testing.T) {
	w := newWorld(t)
	var task *Task
	task = w.open(counting(func(s *Site, _ *state.KVStore[string, int64], _ *Sink) Receiver {
		return func(record *kgo.Record) error {
			m := s.Begin(s.Node("in"), record)
			if said := task.Doing(); record.Offset == 0 && said != "offset 0 of in-2 or one of the 1023 behind it" {
				t.Error(said)
			}
			s.Wait(s.Node("try"), m)
			if said := task.Doing(); said != fmt.Sprintf("node try, offset %d of in-2", record.Offset) {
				t.Error(said)
			}
			return nil
		}
	}), "")
	defer task.Close()
	w.add(task, 0, "a", "b")
	w.process(task)
	if said := task.Doing(); said != "" {
		t.Errorf("%s, though it is done", said)
	}
}

func TestIdleHooksWaitForTheInput(t *testing.T) {
	w := newWorld(t)
	idle := 0
	sub := counting(count)
	build := sub.Build
	sub.Build = func(s *Site) (map[string]Input, error) {
		s.OnIdle(s.Node("counts"), func(nowMs int64) error { idle++; return nil })
		return build(s)
	}
	task := w.open(sub, "")
	defer task.Close()
	tick := func() {
		if err := task.Tick(t.Context(), w.now); err != nil {
			t.Fatal(err)
		}
	}
	tick() // nothing is known of the input
	w.add(task, 0, "a")
	tick() // it waits
	if idle != 0 {
		t.Errorf("idle %d times, though there is input", idle)
	}
	w.process(task)
	if tick(); idle != 1 {
		t.Errorf("idle %d times, want once", idle)
	}
	if err := task.Add("in", nil, 2, 9); err != nil {
		t.Fatal(err)
	}
	if tick(); idle != 1 {
		t.Error("idle, though more is to be fetched")
	}
}

// TestACodecThatPanicsInACommitEndsTheTask encodes values when they are committed, with user code.
func TestACodecThatPanicsInACommitEndsTheTask(t *testing.T) {
	w := newWorld(t)
	codec := serde.Of("int64", func([]byte, int64) ([]byte, error) { panic("boom") }, serde.Int64.Decode)
	broken := state.NewKV("counts", serde.String, codec)
	sub := counting(count)
	sub.Build = func(s *Site) (map[string]Input, error) {
		store, err := state.OpenKV(s.DB(), broken)
		return map[string]Input{"in": {Receive: func(r *kgo.Record) error { return store.Put("k", 1) }}}, err
	}
	task := w.open(sub, "")
	defer task.Close()
	w.add(task, 0, "a")
	w.process(task)
	var panicked *consumer.PanicError
	if _, err := task.Prepare(t.Context()); !errors.As(err, &panicked) || !strings.Contains(err.Error(), "node counts") {
		t.Error(err)
	}
}

// TestChangelogsOfWindowsGoByTheWallClock has data of years ago: by its own timestamps the broker would delete its changelog at once.
func TestChangelogsOfWindowsGoByTheWallClock(t *testing.T) {
	perDay := state.NewWindow("per-day", serde.String, serde.Int64)
	visits := state.NewSession("visits", serde.String, serde.Int64)
	described := &graph.Topology{}
	described.AddTopic(graph.Topic{Name: "in"})
	var windows *state.WindowStore[string, int64]
	var sessions *state.SessionStore[string, int64]
	sub := &Subtopology{Subtopology: &graph.Subtopology{Name: "per-day"}, Graph: described,
		Stores: []state.Spec{perDay.Spec(), visits.Spec()},
		Build: func(s *Site) (_ map[string]Input, err error) {
			if windows, err = state.OpenWindow(s.DB(), perDay); err != nil {
				return nil, err
			}
			if sessions, err = state.OpenSession(s.DB(), visits); err != nil {
				return nil, err
			}
			return map[string]Input{"in": {Receive: func(r *kgo.Record) error {
				s.Begin(s.Node("in"), r)
				s.Observe(r.Timestamp.UnixMilli())
				if err := windows.Put("a", 0, 7); err != nil {
					return err
				}
				return sessions.Put("a", []state.SessionOf[int64]{{StartMs: 1, EndMs: 2, Value: 8}}, r.Timestamp.UnixMilli())
			}}}, nil
		}}
	w := newWorld(t)
	w.now = time.UnixMilli(1_800_000_000_000)
	open := func() *Task {
		task, err := OpenTask(sub, TaskID{Subtopology: "per-day", Partition: 2}, w.environment())
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	task := open()
	if err := errors.Join(task.RestoreDone(map[string]state.Changelog{}), task.Resume(nil)); err != nil {
		t.Fatal(err)
	}
	w.add(task, 5, "a")
	w.process(task)
	w.prepare(task)
	logs := map[string][]*kgo.Record{"per-day": w.take("app-per-day-changelog"), "visits": w.take("app-visits-changelog")}
	if err := errors.Join(task.Close()); err != nil {
		t.Fatal(err)
	}
	w.dir = t.TempDir()
	task = open()
	defer task.Close()
	for store, log := range logs {
		if len(log) != 1 || !log[0].Timestamp.Equal(w.now) {
			t.Fatalf("changelog of %s: %v", store, log)
		}
		if err := task.Restore(store, log); err != nil {
			t.Fatal(err)
		}
	}
	if err := task.RestoreDone(map[string]state.Changelog{}); err != nil {
		t.Fatal(err)
	}
	var rows []state.WindowRow[string, int64]
	for row, err := range windows.Fetch("a", 0, 1) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if len(rows) != 1 || rows[0].Value != 7 || rows[0].TimestampMs != 5 {
		t.Errorf("%+v", rows)
	}
	if got, err := sessions.Get("a"); err != nil || len(got) != 1 || got[0].Value != 8 {
		t.Errorf("%+v, %v", got, err)
	}
}
