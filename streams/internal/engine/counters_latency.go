package engine

import (
	"slices"
	"time"
)

// LatencyBounds are the upper bounds of histograms of what takes microseconds or hours.
var LatencyBounds = [...]time.Duration{
	time.Microsecond, 3 * time.Microsecond, 10 * time.Microsecond, 30 * time.Microsecond, 100 * time.Microsecond, 300 * time.Microsecond,
	time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond,
	time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second, 100 * time.Second, 300 * time.Second, 1000 * time.Second, time.Hour,
}

// Latency is a histogram of durations.
type Latency struct {
	Counts [len(LatencyBounds) + 1]int64 // up to each bound; the last one is all above
	Sum    time.Duration
}

// Observe counts that something took so long, so many times. Less than nothing is nothing.
func (l *Latency) Observe(took time.Duration, times int64) {
	took = max(0, took)
	at, _ := slices.BinarySearch(LatencyBounds[:], took)
	l.Counts[at] += times
	l.Sum += took * time.Duration(times)
}

func (l *Latency) add(more *Latency) {
	for at, count := range more.Counts {
		l.Counts[at] += count
	}
	l.Sum += more.Sum
}
