package quota

import "time"

// bucket holds tokens, which come at the rate of a limit and go with what is used. It may be overdrawn once: then
// nothing more is given until it has recovered. A burst of a window's worth fits into it.
type bucket struct {
	window Window
	tokens float64
	limit  float64       // of the last use
	at     time.Duration // of the last use
}

// newBucket returns a full bucket.
func newBucket(w Window, limit float64, now time.Duration) *bucket {
	b := &bucket{window: w, limit: limit, at: now}
	b.tokens = b.full()
	return b
}

func (b *bucket) full() float64 { return b.limit * b.window.Span().Seconds() }

// refill lets the tokens come that are due at now, which must not go back.
func (b *bucket) refill(limit float64, now time.Duration) {
	b.limit = limit
	b.tokens = min(b.full(), b.tokens+limit*(now-b.at).Seconds())
	b.at = now
}

// debt is how long the bucket takes to recover.
func (b *bucket) debt() time.Duration {
	seconds := -b.tokens / b.limit
	if most := b.window.Span(); seconds >= most.Seconds() {
		return most
	}
	return max(0, time.Duration(seconds*float64(time.Second)))
}

// forgotten reports whether the bucket is as good as a new one at now.
func (b *bucket) forgotten(now time.Duration) bool {
	return b.tokens+b.limit*(now-b.at).Seconds() >= b.full()
}
