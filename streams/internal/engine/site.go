package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/windows"
)

// Site is where the operators of one task live: what they share and reach. All its methods belong to the task's goroutine.
type Site struct {
	id          TaskID
	environment Environment
	ctx         context.Context // of the call that is under way
	doing       doing
	db          *state.DB // nil without stores
	counters    *TaskCounters
	nodes       map[string]*Node
	clocks      map[string]*windows.Clock
	outbox      outbox
	timers      timers
	meta        Meta // of the record in hand
	nowMs       int64
	streamMs    int64
	recordMs    int64 // timestamp of the last record
	onStart     []func() error
	onIdle      []idleHook
	onAhead     []aheadHook
	onClose     []func()
}

// DB returns the task's stores.
func (s *Site) DB() *state.DB { return s.db }

// App returns the application's name.
func (s *Site) App() string { return s.environment.App }

// Partition returns the partition of the task.
func (s *Site) Partition() int32 { return s.id.Partition }

// SetTime sets the timestamp that changes of stores get from now on, until the next record of a source.
func (s *Site) SetTime(timestampMs int64) {
	if s.db != nil {
		s.db.SetTime(timestampMs)
	}
}

// Context ends when the task may work no longer.
func (s *Site) Context() context.Context { return s.ctx }

// NowMs returns the wall clock as of the beginning of the present batch.
func (s *Site) NowMs() int64 { return s.nowMs }

// StreamMs returns the task's stream time: the highest timestamp of its input so far; windows.NoTime before the first record.
func (s *Site) StreamMs() int64 { return s.streamMs }

// Node returns the node of a name, for as long as the task lives.
func (s *Site) Node(name string) *Node {
	if s.nodes[name] == nil {
		s.nodes[name] = &Node{NodeCounters: s.counters.Node(name), Name: name}
	}
	return s.nodes[name]
}

// Clock returns the clock of a name, which outlives the task: each commit takes its state along. There is one clock of a name.
func (s *Site) Clock(name string, idle, maxAhead time.Duration) *windows.Clock {
	if s.clocks[name] == nil {
		s.clocks[name] = windows.NewClock(idle, maxAhead)
	}
	return s.clocks[name]
}

// OnStart has f called before the first record, when the stores are restored and the clocks are set.
func (s *Site) OnStart(f func() error) { s.onStart = append(s.onStart, f) }

// idleHook is what a node does while there is no input.
type idleHook struct {
	node *Node
	idle func(nowMs int64) error
}

// OnIdle has f called now and then while no input waits to be processed: for windows that close by the wall clock.
func (s *Site) OnIdle(n *Node, f func(nowMs int64) error) {
	s.onIdle = append(s.onIdle, idleHook{n, f})
}

// OnClose has f called when the task ends, however it does.
func (s *Site) OnClose(f func()) { s.onClose = append(s.onClose, f) }

// Begin returns the Meta of an input record that comes to a source. It is the task's only one of input records: it is used
// again for the next.
func (s *Site) Begin(source *Node, record *kgo.Record) *Meta {
	m := &s.meta
	m.Headers, m.Source, m.At = record.Headers, record, source
	m.NoKey, m.NoValue = record.Key == nil, record.Value == nil
	return m
}

// Observe sets the timestamp of the record in hand and moves stream time on.
func (s *Site) Observe(timestampMs int64) {
	s.meta.TimestampMs, s.recordMs = timestampMs, timestampMs
	s.streamMs = max(s.streamMs, timestampMs)
	s.SetTime(timestampMs)
}

// recordBytesMax is the size above which a topic takes no record.
func (s *Site) recordBytesMax(topic string) int {
	if s.environment.RecordBytesMaxOf == nil {
		return recordBytesMaxDefault
	}
	return s.environment.RecordBytesMaxOf(topic)
}

// String names the task.
func (s *Site) String() string { return fmt.Sprintf("task %v", s.id) }
