package engine

import (
	"maps"
	"slices"
	"sync"
)

// Reason says why a record was left out.
type Reason int

// The reasons, in the order of their names.
const (
	Ahead     Reason = iota // its timestamp is too far in the future
	Closed                  // its window had been closed
	Decode                  // its key or value is no such thing
	Failed                  // a user's function returned an error
	Late                    // it came after its windows were closed
	NullKey                 // it has no key where one is needed
	NullValue               // it has no value where one is needed
	Produce                 // the broker did not take it
	reasons                 // how many there are
)

var reasonNames = [reasons]string{"ahead", "closed", "decode", "error", "late", "null_key", "null_value", "produce"}

// String is the reason as labels of metrics have it.
func (r Reason) String() string { return reasonNames[r] }

// Reasons are all of them.
func Reasons() []Reason {
	return []Reason{Ahead, Closed, Decode, Failed, Late, NullKey, NullValue, Produce}
}

// Counters add up what all tasks of an application have done. They are safe for concurrent use.
type Counters struct {
	mu struct {
		sync.Mutex
		nodes map[string]*NodeCounters
		tasks map[*TaskCounters][]InputGauges // of tasks that run
	}
}

// NewCounters returns counters that are zero.
func NewCounters() *Counters {
	c := &Counters{}
	c.mu.nodes = map[string]*NodeCounters{}
	c.mu.tasks = map[*TaskCounters][]InputGauges{}
	return c
}

// TaskCounters are the counters of one task: plain numbers, that its goroutine alone touches. Others see them after Publish.
type TaskCounters struct {
	all    *Counters
	nodes  map[string]*NodeCounters
	inputs map[string]*InputGauges
}

// NodeCounters are what a node has done since the last Publish.
type NodeCounters struct {
	Processed int64 // records that came in
	Emitted   int64 // records that it sent on
	Dropped   [reasons]int64
	Lateness  Lateness
}

// Drop counts a record that is left out.
func (n *NodeCounters) Drop(reason Reason) { n.Dropped[reason]++ }

// Lateness is a histogram of how far behind stream time records were that came out of order. Those in order are not in it.
type Lateness struct {
	Counts [len(LatenessBoundsMs) + 1]int64 // up to each bound; the last one is all above
	SumMs  int64
}

// LatenessBoundsMs are the upper bounds of the histogram.
var LatenessBoundsMs = [...]int64{100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 21_600_000, 86_400_000}

// Observe counts a record whose timestamp is behind stream time by latenessMs.
func (l *Lateness) Observe(latenessMs int64) {
	at, _ := slices.BinarySearch(LatenessBoundsMs[:], latenessMs)
	l.Counts[at]++
	l.SumMs += latenessMs
}

// InputGauges is where a task is in one partition of a source topic.
type InputGauges struct {
	Topic       string
	WatermarkMs int64 // stream time of the input: the highest timestamp; negative before the first record
	LagRecords  int64 // offsets between what was processed and the partition's end
}

// Task returns the counters of a task that begins. Its Close takes the gauges away.
func (c *Counters) Task() *TaskCounters {
	t := &TaskCounters{all: c, nodes: map[string]*NodeCounters{}, inputs: map[string]*InputGauges{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.tasks[t] = nil
	return t
}

// Node returns the counters of a node, for as long as the task lives: whoever counts keeps the pointer.
func (t *TaskCounters) Node(name string) *NodeCounters {
	if t.nodes[name] == nil {
		t.nodes[name] = &NodeCounters{}
	}
	return t.nodes[name]
}

// Input returns the gauges of a source topic, for as long as the task lives.
func (t *TaskCounters) Input(topic string) *InputGauges {
	if t.inputs[topic] == nil {
		t.inputs[topic] = &InputGauges{Topic: topic, WatermarkMs: -1}
	}
	return t.inputs[topic]
}

// Publish adds what was counted since the last call to the application's counters, all at once. It is called for each batch,
// not for each record.
func (t *TaskCounters) Publish() {
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	for name, counted := range t.nodes {
		total := t.all.mu.nodes[name]
		if total == nil {
			total = &NodeCounters{}
			t.all.mu.nodes[name] = total
		}
		total.add(counted)
		*counted = NodeCounters{}
	}
	gauges := t.all.mu.tasks[t][:0]
	for _, input := range t.inputs {
		gauges = append(gauges, *input)
	}
	t.all.mu.tasks[t] = gauges
}

func (n *NodeCounters) add(more *NodeCounters) {
	n.Processed += more.Processed
	n.Emitted += more.Emitted
	for reason, count := range more.Dropped {
		n.Dropped[reason] += count
	}
	for at, count := range more.Lateness.Counts {
		n.Lateness.Counts[at] += count
	}
	n.Lateness.SumMs += more.Lateness.SumMs
}

// Close publishes what is left and takes the task's gauges away.
func (t *TaskCounters) Close() {
	t.Publish()
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	delete(t.all.mu.tasks, t)
}

// Nodes returns what was published of each node since the counters began.
func (c *Counters) Nodes() map[string]NodeCounters {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := make(map[string]NodeCounters, len(c.mu.nodes))
	for name, counted := range c.mu.nodes {
		nodes[name] = *counted
	}
	return nodes
}

// Inputs returns, ordered by topic, the watermark of each source topic, the lowest of its partitions that have one, and the sum
// of their lags.
func (c *Counters) Inputs() []InputGauges {
	c.mu.Lock()
	defer c.mu.Unlock()
	byTopic := map[string]InputGauges{}
	for _, inputs := range c.mu.tasks {
		for _, input := range inputs {
			sum, seen := byTopic[input.Topic]
			if !seen {
				byTopic[input.Topic] = input
				continue
			}
			if sum.WatermarkMs < 0 || input.WatermarkMs >= 0 && input.WatermarkMs < sum.WatermarkMs {
				sum.WatermarkMs = input.WatermarkMs
			}
			sum.LagRecords += input.LagRecords
			byTopic[input.Topic] = sum
		}
	}
	inputs := make([]InputGauges, 0, len(byTopic))
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		inputs = append(inputs, byTopic[topic])
	}
	return inputs
}

// Tasks is how many tasks run.
func (c *Counters) Tasks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.tasks)
}
