package engine

import (
	"slices"
	"time"
)

// TaskCounters are the counters of one task: plain numbers, that its goroutine alone touches. Others see them after Publish.
type TaskCounters struct {
	all      *Counters
	nodes    map[string]*NodeCounters
	inputs   map[string]*InputGauges
	restores map[string]*RestoreCounters

	Subtopology string
	Processing  Latency // of a record, since the last Publish: the mean of each slice
	CachedBytes int64   // of its stores, in memory
	DirtyBytes  int64   // of changes that are not committed
}

// NodeCounters are what a node has done since the last Publish.
type NodeCounters struct {
	Processed int64 // records that came in
	Emitted   int64 // records that it sent on
	lastMs    int64 // timestamp of the last record that came in since sample; 0: none has
	Dropped   [reasons]int64
	Lateness  Lateness
	EndToEnd  Latency // from the timestamps of records to when they were here, of one record a slice; only of nodes behind which there is none
}

// sample measures how old the last record was that came to the node, if one has since the last sample.
func (n *NodeCounters) sample(nowMs int64) {
	if n.lastMs > 0 {
		n.EndToEnd.Observe(time.Duration(nowMs-n.lastMs)*time.Millisecond, 1)
	}
	n.lastMs = 0
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
	t := &TaskCounters{all: c, nodes: map[string]*NodeCounters{}, inputs: map[string]*InputGauges{}, restores: map[string]*RestoreCounters{}}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.tasks[t] = &gauges{}
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

// RestoreCounters are how far the restore of a store from its changelog is.
type RestoreCounters struct {
	Restored  int64 // records since the last Publish
	Remaining int64 // offsets up to the changelog's end; 0 when it is done
	Took      time.Duration
}

// Restore returns the counters of a store's restore, for as long as the task lives.
func (t *TaskCounters) Restore(store string) *RestoreCounters {
	if t.restores[store] == nil {
		t.restores[store] = &RestoreCounters{}
	}
	return t.restores[store]
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
	t.all.publishProcessingLocked(t.Subtopology, &t.Processing)
	t.Processing = Latency{}
	g := t.all.mu.tasks[t]
	if g == nil {
		return // it is closed
	}
	g.inputs, g.cached, g.dirty = g.inputs[:0], t.CachedBytes, t.DirtyBytes
	for _, input := range t.inputs {
		g.inputs = append(g.inputs, *input)
	}
	for store, r := range t.restores {
		t.all.mu.restored[store] += r.Restored
		r.Restored = 0
		if g.restoring == nil {
			g.restoring = map[string]RestoreCounters{}
		}
		g.restoring[store] = *r
	}
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
	n.EndToEnd.add(&more.EndToEnd)
}

// Close publishes what is left and takes the task's gauges away.
func (t *TaskCounters) Close() {
	t.Publish()
	t.all.mu.Lock()
	defer t.all.mu.Unlock()
	delete(t.all.mu.tasks, t)
}
