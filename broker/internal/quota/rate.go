package quota

import "time"

// Window says over which time a rate is measured: the sample that is under way and those before it.
type Window struct {
	Samples int           // quota.window.num, 1 at least
	Size    time.Duration // of a sample (quota.window.size.seconds)
}

// Span is the longest time that a rate is measured over, and for which a client is made to rest at once.
func (w Window) Span() time.Duration { return time.Duration(w.Samples) * w.Size }

// elapsed is the time over which a rate is measured at now: the samples that are over, also those in which nothing
// was seen, and what has passed of the one under way.
func (w Window) elapsed(now time.Duration) time.Duration {
	return time.Duration(w.Samples-1)*w.Size + now%w.Size
}

// rate is how much was used in the samples of a window.
type rate struct {
	window  Window
	samples []sample // by number modulo their count
	last    int64    // number of the latest sample
}

type sample struct {
	number int64 // since the beginning of time
	sum    float64
}

func newRate(w Window) *rate { return &rate{window: w, samples: make([]sample, w.Samples)} }

// add counts an amount at now, which must not go back.
func (r *rate) add(amount float64, now time.Duration) {
	r.last = int64(now / r.window.Size)
	s := &r.samples[r.last%int64(len(r.samples))]
	if s.number != r.last {
		*s = sample{number: r.last}
	}
	s.sum += amount
}

// sum is what was used within the window that ends at now.
func (r *rate) sum(now time.Duration) float64 {
	oldest := int64(now/r.window.Size) - int64(len(r.samples)) + 1
	sum := 0.0
	for _, s := range r.samples {
		if s.number >= oldest {
			sum += s.sum
		}
	}
	return sum
}

// excess is how long it takes until a sum, with nothing added, is down to the limit per second. With the observed rate
// O over a time W and the limit T, Kafka waits for X = (O-T)/T*W, so that O*W = T*(W+X).
func (r *rate) excess(sum, limit float64, now time.Duration) time.Duration {
	over := sum/limit - r.window.elapsed(now).Seconds()
	if most := r.window.Span(); over >= most.Seconds() {
		return most
	}
	return max(0, time.Duration(over*float64(time.Second)))
}

// forgotten reports whether nothing of what was used lies within the window that ends at now.
func (r *rate) forgotten(now time.Duration) bool {
	return int64(now/r.window.Size)-r.last >= int64(len(r.samples))
}
