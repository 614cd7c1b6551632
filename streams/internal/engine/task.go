package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/windows"
)

const (
	// sliceRecordsMax is how many records are processed in one go, with the stores locked, before the producer gets what
	// came of them and queries have their turn. Slow functions make it less.
	sliceRecordsMax = 1024
	sliceTimeMax    = 5 * time.Millisecond
)

// Task is one sub-topology for one partition. It has no goroutine and no client: whoever drives it feeds it records, takes
// what it produces, and commits. Its methods are called one at a time, but for Doing. After an error of any of them it is
// only good for Close: another task of the same directory then goes on from what is committed.
type Task struct {
	sub    *Subtopology
	site   *Site
	inputs inputs
	ends   []*Node // behind which there is no other

	sliceRecords int

	changelogs   []*Changelog // of the stores, in their order
	restored     bool         // records of them were put into the stores
	changed      bool         // since the last Prepare: there is something to commit
	prepared     metadata     // of the last Prepare
	preparedText string       // the same as it is committed

	preparedInputs map[string]int64 // the offsets of the last Prepare
}

// OpenTask opens the task's stores and makes its operators. Then come Changelogs, Restore and RestoreDone, and Resume.
func OpenTask(sub *Subtopology, id TaskID, environment Environment) (*Task, error) {
	site := &Site{
		id: id, environment: environment,
		counters: environment.Counters.Task(), nodes: map[string]*Node{}, clocks: map[string]*windows.Clock{},
		timers: newTimers(), streamMs: windows.NoTime, nowMs: environment.Now().UnixMilli(),
	}
	site.outbox.produce = environment.Produce
	t := &Task{sub: sub, site: site, sliceRecords: sliceRecordsMax, preparedInputs: map[string]int64{}}
	if err := t.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("task %v: %w", id, err), t.Close())
	}
	return t, nil
}

func (t *Task) open() (err error) {
	s := t.site
	s.counters.Subtopology = s.id.Subtopology
	if len(t.sub.Stores) > 0 {
		options := s.environment.State
		options.Stores, options.ReadTook = t.sub.Stores, s.environment.Counters.ReadTook
		err := s.environment.Disk.do("opening its state directory", func() (err error) {
			s.db, err = state.Open(options)
			return err
		})
		if err != nil {
			return err
		}
	}
	built, err := t.sub.Build(s)
	if err != nil {
		return err
	}
	for _, topic := range slices.Sorted(maps.Keys(built)) {
		name := t.sub.Graph.KafkaTopic(s.environment.App, topic)
		if int(s.id.Partition) < s.environment.PartitionsOf(name) {
			t.inputs = append(t.inputs, &input{Input: built[topic], topic: name, partition: s.id.Partition,
				gauges: s.counters.Input(topic), next: -1, lastOffset: -1, ahead: newAhead(s.onAhead, built[topic].Keys)})
		}
	}
	for _, n := range t.sub.Ends() {
		if node := s.nodes[n.Name]; node != nil {
			t.ends = append(t.ends, node)
		}
	}
	t.openChangelogs()
	return nil
}

// ID returns which task it is.
func (t *Task) ID() TaskID { return t.site.id }

// DB returns the task's stores, nil if it has none. The task locks it while it works.
func (t *Task) DB() *state.DB { return t.site.db }

// Add queues records of a source topic, by its name in Kafka, in the order of their offsets. next is where the consumer goes on
// behind them, and behind what nobody sees; end is the last stable offset as the fetch saw it. Without records it moves both.
// As long as nothing was added for a topic, or next is below end, and none of its records wait, no record of another topic is
// processed. The records are the task's until they are processed, and their bytes until the commit after that.
func (t *Task) Add(topic string, records []*kgo.Record, next, end int64) error {
	in := t.inputs.of(topic)
	if in == nil {
		return fmt.Errorf("task %v does not read topic %s", t.site.id, topic)
	}
	first := in.next < 0
	if err := in.add(records, next, end); err != nil {
		return err
	}
	if first && t.site.db != nil {
		t.site.db.SetInput(in.topic, in.position())
	}
	return nil
}

// Queued returns how many records of a topic wait to be processed.
func (t *Task) Queued(topic string) int {
	if in := t.inputs.of(topic); in != nil {
		return in.waiting()
	}
	return 0
}

// Process processes what may be processed now. When ctx ends it returns nil after the record in hand, and the next call goes
// on.
func (t *Task) Process(ctx context.Context) error {
	var ended atomic.Bool
	defer context.AfterFunc(ctx, func() { ended.Store(true) })()
	defer t.publish()
	for more := true; more && ctx.Err() == nil; {
		began := t.site.environment.Now()
		t.site.nowMs = began.UnixMilli()
		records := 0
		err := t.locked(ctx, func() (err error) {
			records, more, err = t.slice(&ended)
			return err
		})
		if err == nil {
			err = t.site.outbox.flush()
		}
		if err != nil {
			return err
		}
		now := t.site.environment.Now()
		t.adapt(now.Sub(began))
		t.measure(records, began, now)
	}
	return nil
}

// measure counts how long a slice took.
func (t *Task) measure(records int, began, now time.Time) {
	if records == 0 {
		return
	}
	t.site.counters.Processing.Observe(now.Sub(began)/time.Duration(records), int64(records))
	for _, n := range t.ends {
		n.sample(now.UnixMilli())
	}
}

// adapt keeps slices short in time.
func (t *Task) adapt(took time.Duration) {
	if took > sliceTimeMax {
		t.sliceRecords = max(1, t.sliceRecords/2)
	} else {
		t.sliceRecords = min(sliceRecordsMax, t.sliceRecords*2)
	}
}

// slice processes some records, and says how many. more says that it was not for want of them that it stopped.
func (t *Task) slice(ended *atomic.Bool) (records int, more bool, err error) {
	s := t.site
	for i := range t.sliceRecords {
		in := t.inputs.choose()
		if in == nil || ended.Load() {
			return i, false, nil
		}
		record := in.take()
		s.recordMs = windows.NoTime
		if i == 0 {
			t.changed = true
			s.doing.begin(record)
		}
		if err := in.Receive(record); err != nil {
			return i, false, err
		}
		in.processed(record)
		in.gauges.WatermarkMs = max(in.gauges.WatermarkMs, s.recordMs)
		if s.streamMs >= s.timers.stream.dueMs {
			if err := s.timers.stream.run(s.streamMs, &s.meta); err != nil {
				return i, false, err
			}
		}
	}
	return t.sliceRecords, true, nil
}

// Tick does what is due by the wall clock: timers, and what operators do while there is no input.
func (t *Task) Tick(ctx context.Context, now time.Time) error {
	s := t.site
	s.nowMs = now.UnixMilli()
	s.meta = Meta{}
	defer t.publish()
	err := t.locked(ctx, func() error {
		if s.nowMs >= s.timers.wall.dueMs {
			t.changed = true
			if err := s.timers.wall.run(s.nowMs, &s.meta); err != nil {
				return err
			}
		}
		if !t.inputs.areDrained() {
			return nil
		}
		for _, hook := range s.onIdle {
			s.meta.At = hook.node
			if err := hook.idle(s.nowMs); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.outbox.flush()
}

// locked runs user code with the stores locked against queries. It does nothing if ctx ends before that.
func (t *Task) locked(ctx context.Context, run func() error) error {
	if t.lock(ctx) != nil {
		return nil
	}
	defer t.unlock()
	t.site.ctx = ctx
	defer t.site.doing.end()
	return t.guarded(run)
}

// guarded makes an error of a panic, that names node and record.
func (t *Task) guarded(run func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = t.panicked(value)
		}
	}()
	return run()
}

func (t *Task) lock(ctx context.Context) error {
	if t.site.db == nil {
		return nil
	}
	return t.site.db.Lock(ctx)
}

func (t *Task) unlock() {
	if t.site.db != nil {
		t.site.db.Unlock()
	}
}

func (t *Task) panicked(value any) error {
	cause := &consumer.PanicError{Value: value, Stack: debug.Stack()}
	if t.site.meta.At == nil {
		return &NodeError{Node: t.site.id.Subtopology, Err: cause}
	}
	return t.site.meta.At.failure(&t.site.meta, cause)
}

func (t *Task) publish() {
	for _, in := range t.inputs {
		in.gauges.LagRecords = max(0, in.end-in.position())
	}
	if t.site.db != nil {
		t.site.counters.CachedBytes, t.site.counters.DirtyBytes = t.site.db.CachedBytes(), t.site.db.DirtyBytes()
	}
	t.site.counters.Publish()
}

// Counters returns what the task counts. They belong to whoever calls the task's methods.
func (t *Task) Counters() *TaskCounters { return t.site.counters }

// Doing says what the task is busy with, in words; "" if with nothing. It may be called by other goroutines.
func (t *Task) Doing() string { return t.site.doing.String() }

// DirtyBytes returns about how much memory waits for the next commit.
func (t *Task) DirtyBytes() int64 {
	bytes := t.site.outbox.bytes()
	if t.site.db != nil {
		bytes += t.site.db.DirtyBytes()
	}
	return bytes
}

// Close closes the stores. What was not committed is dropped.
func (t *Task) Close() error {
	for _, closing := range slices.Backward(t.site.onClose) {
		closing()
	}
	t.site.counters.Close()
	if t.site.db == nil {
		return nil
	}
	return t.site.environment.Disk.do("closing its state directory", t.site.db.Close)
}
