package broker

import (
	"sync/atomic"
	"time"
)

// durationBounds are the upper bounds of the buckets of durations, in nanoseconds.
var durationBounds = []int64{
	100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000,
	100_000_000, 250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000,
}

// sizeBounds are those of sizes, in bytes.
var sizeBounds = []int64{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20}

// histogram counts values by size. Its buckets are classic ones: client_golang's constant metrics have either those or
// native ones, and every Prometheus understands the classic.
type histogram struct {
	bounds []int64         // ascending, inclusive
	counts []atomic.Uint64 // one for each bound, and one for what is above all of them
	sum    atomic.Int64
}

func newHistogram(bounds []int64) *histogram {
	return &histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

func (h *histogram) observe(value int64) {
	i := 0
	for i < len(h.bounds) && value > h.bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(value)
}

// snapshot returns how many values there were, their sum, and how many were at most each bound, in units of so many.
func (h *histogram) snapshot(unit float64) (count uint64, sum float64, cumulative map[float64]uint64) {
	cumulative = make(map[float64]uint64, len(h.bounds))
	for i, bound := range h.bounds {
		count += h.counts[i].Load()
		cumulative[float64(bound)/unit] = count
	}
	count += h.counts[len(h.bounds)].Load()
	return count, float64(h.sum.Load()) / unit, cumulative
}

// Units of snapshot.
const (
	inSeconds = float64(time.Second)
	inBytes   = 1.0
)
