package load

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds with three digits; longer ones than latencyMax count as that.
const (
	latencyMax    = 10 * time.Minute
	latencyDigits = 3
)

// Recorder counts what became of records. What was due during the warm-up is not counted, unless it failed. Safe for
// concurrent use.
type Recorder struct {
	warmUp time.Duration

	mu struct {
		sync.Mutex
		latencies *hdrhistogram.Histogram
		done      Counts
		first     error
		last      time.Duration // when the last record that counts was done
	}
}

// Counts are numbers of records and bytes.
type Counts struct {
	Records int64
	Bytes   int64
	WarmUp  int64 // records that were not counted
	Errors  int64
}

// NewRecorder returns a recorder that has seen nothing.
func NewRecorder(warmUp time.Duration) *Recorder {
	r := &Recorder{warmUp: warmUp}
	r.mu.latencies = hdrhistogram.New(1, latencyMax.Microseconds(), latencyDigits)
	return r
}

// Done counts a record of so many bytes that was due and is done now.
func (r *Recorder) Done(bytes int, due, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if due < r.warmUp {
		r.mu.done.WarmUp++
		return
	}
	r.mu.done.Records++
	r.mu.done.Bytes += int64(bytes)
	r.mu.last = max(r.mu.last, now)
	latency := min(max(now-due, 0), latencyMax)
	_ = r.mu.latencies.RecordValue(latency.Microseconds()) // it is in range
}

// Failed counts a record that did not make it.
func (r *Recorder) Failed(err error) { r.FailedMany(1, err) }

// FailedMany counts records that did not make it for one reason.
func (r *Recorder) FailedMany(count int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.done.Errors += count
	if r.mu.first == nil {
		r.mu.first = err
	}
}

// Counts returns the counts so far, and the first error.
func (r *Recorder) Counts() (Counts, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.done, r.mu.first
}

// Measured is the time from the end of the warm-up to the last record that counts.
func (r *Recorder) Measured() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.mu.last-r.warmUp)
}

// Latencies are milliseconds at percentiles.
type Latencies struct {
	Mean float64 `json:"mean_ms"`
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p99_9_ms"`
	Max  float64 `json:"max_ms"`
}

const microsecondsPerMillisecond = 1000

// Latencies returns the percentiles of what was counted.
func (r *Recorder) Latencies() Latencies {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.mu.latencies
	at := func(percentile float64) float64 {
		return float64(h.ValueAtQuantile(percentile)) / microsecondsPerMillisecond
	}
	return Latencies{Mean: h.Mean() / microsecondsPerMillisecond, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Max: float64(h.Max()) / microsecondsPerMillisecond}
}

// WriteDistribution writes the percentile distribution in milliseconds, as HdrHistogram's plotters read it.
func (r *Recorder) WriteDistribution(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	const ticks = 5 // for each halving of the distance to 100 %
	if _, err := r.mu.latencies.PercentilesPrint(w, ticks, microsecondsPerMillisecond); err != nil {
		return fmt.Errorf("write the distribution of latencies: %w", err)
	}
	return nil
}
