package engine

import (
	"slices"
	"sync"
	"time"
)

// DurationBounds are the upper bounds of the histogram of commits.
var DurationBounds = [...]time.Duration{time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	5 * time.Second, 10 * time.Second}

// ProcessCounters count what the tasks of a process do together. They are safe for concurrent use.
type ProcessCounters struct {
	mu struct {
		sync.Mutex
		figures ProcessFigures
	}
}

// ProcessFigures are what was counted since the process began.
type ProcessFigures struct {
	Committed, Aborted, Rebalances int64
	Durations                      [len(DurationBounds) + 1]int64 // of commits, up to each bound; the last one is all above
	Committing                     time.Duration                  // the sum of them
}

// Committed counts a commit and how long it took.
func (p *ProcessCounters) Committed(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, _ := slices.BinarySearch(DurationBounds[:], took)
	p.mu.figures.Durations[at]++
	p.mu.figures.Committing += took
	p.mu.figures.Committed++
}

// Aborted counts work that was undone, to be done again.
func (p *ProcessCounters) Aborted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.figures.Aborted++
}

// Rebalanced counts a change of the tasks that this process has.
func (p *ProcessCounters) Rebalanced() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.figures.Rebalances++
}

// Figures returns what was counted.
func (p *ProcessCounters) Figures() ProcessFigures {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.figures
}
