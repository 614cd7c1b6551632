package engine

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Reason says why a record was left out.
type Reason int

// The reasons, in the order of their names.
const (
	Ahead     Reason = iota // its timestamp is too far in the future
	Decode                  // its key or value is no such thing
	Failed                  // a user's function returned an error
	Late                    // it came after its windows were closed
	NullKey                 // it has no key where one is needed
	NullValue               // it has no value where one is needed
	Produce                 // the broker did not take it
	reasons                 // how many there are
)

var reasonNames = [reasons]string{"ahead", "decode", "error", "late", "null_key", "null_value", "produce"}

// String is the reason as labels of metrics have it.
func (r Reason) String() string { return reasonNames[r] }

// Reasons are all of them.
func Reasons() []Reason {
	return []Reason{Ahead, Decode, Failed, Late, NullKey, NullValue, Produce}
}

// Counters add up what all tasks of a process have done. They are safe for concurrent use. A transaction that is aborted
// takes nothing back: what is done twice counts twice.
type Counters struct {
	Process ProcessCounters // what the tasks do together

	mu struct {
		sync.Mutex
		nodes      map[string]*NodeCounters
		processing map[string]*Latency       // by sub-topology
		reads      map[string]*Latency       // by store
		restored   map[string]int64          // records by store
		tasks      map[*TaskCounters]*gauges // of tasks that run
	}
}

// gauges are what a task has published of its present state.
type gauges struct {
	inputs    []InputGauges
	restoring map[string]RestoreCounters // by store
	cached    int64
	dirty     int64
}

// NewCounters returns counters that are zero.
func NewCounters() *Counters {
	c := &Counters{}
	c.mu.nodes = map[string]*NodeCounters{}
	c.mu.processing, c.mu.reads = map[string]*Latency{}, map[string]*Latency{}
	c.mu.restored = map[string]int64{}
	c.mu.tasks = map[*TaskCounters]*gauges{}
	return c
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

func (c *Counters) publishProcessingLocked(subtopology string, more *Latency) {
	if c.mu.processing[subtopology] == nil {
		c.mu.processing[subtopology] = &Latency{}
	}
	c.mu.processing[subtopology].add(more)
}

// Processing returns how long records took, by sub-topology.
func (c *Counters) Processing() map[string]Latency {
	c.mu.Lock()
	defer c.mu.Unlock()
	return copied(c.mu.processing)
}

// ReadTook counts a look-up in a store that memory had no answer to.
func (c *Counters) ReadTook(store string, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.reads[store] == nil {
		c.mu.reads[store] = &Latency{}
	}
	c.mu.reads[store].Observe(took, 1)
}

// Reads returns how long such look-ups took, by store.
func (c *Counters) Reads() map[string]Latency {
	c.mu.Lock()
	defer c.mu.Unlock()
	return copied(c.mu.reads)
}

func copied(all map[string]*Latency) map[string]Latency {
	copies := make(map[string]Latency, len(all))
	for name, l := range all {
		copies[name] = *l
	}
	return copies
}

// Inputs returns, ordered by topic, the watermark of each source topic, the lowest of its partitions that have one, and the sum
// of their lags.
func (c *Counters) Inputs() []InputGauges {
	c.mu.Lock()
	defer c.mu.Unlock()
	byTopic := map[string]InputGauges{}
	for _, g := range c.mu.tasks {
		for _, input := range g.inputs {
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

// StoreFigures are how far the restore of a store is, over all tasks of the process.
type StoreFigures struct {
	Store               string
	Restored, Remaining int64         // records since the process began; offsets that are left
	Took                time.Duration // of the task with the longest restore, so far
}

// Stores returns the figures of each store that was restored, ordered by name.
func (c *Counters) Stores() (stores []StoreFigures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, store := range slices.Sorted(maps.Keys(c.mu.restored)) {
		figures := StoreFigures{Store: store, Restored: c.mu.restored[store]}
		for _, g := range c.mu.tasks {
			figures.Remaining += g.restoring[store].Remaining
			figures.Took = max(figures.Took, g.restoring[store].Took)
		}
		stores = append(stores, figures)
	}
	return stores
}

// Tasks is how many tasks run, and what their stores have in memory: of that dirtyBytes are not committed.
func (c *Counters) Tasks() (tasks int, cachedBytes, dirtyBytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.mu.tasks {
		cachedBytes += g.cached
		dirtyBytes += g.dirty
	}
	return len(c.mu.tasks), cachedBytes, dirtyBytes
}
