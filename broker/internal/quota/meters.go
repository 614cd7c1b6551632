package quota

import (
	"sync"
	"time"
)

// metersMax bounds how many subjects are measured apart. Those beyond share one meter for each kind, so that nobody
// escapes a quota by using many names.
const metersMax = 1 << 16

// Meters measure how much of their quotas subjects use. What has not been used for as long as the window is
// forgotten, by which nothing is lost. Times are those since one fixed moment. Safe for concurrent use.
type Meters struct {
	window Window
	most   int

	mu struct {
		sync.Mutex
		byKey map[meterKey]meter
		now   time.Duration // the latest time that was told
		swept time.Duration // when the forgotten ones were removed
	}
}

type meterKey struct {
	kind    Kind
	subject Subject
}

type meter interface {
	forgotten(now time.Duration) bool
}

// NewMeters returns meters that have seen nothing.
func NewMeters(w Window) *Meters {
	m := &Meters{window: w, most: metersMax}
	m.mu.byKey = map[meterKey]meter{}
	return m
}

// Use counts what a subject has used, and returns for how long it has to rest until it is within its limit again, at
// most the window's span.
func (m *Meters) Use(kind Kind, bound Bound, amount float64, now time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, now := m.rateLocked(kind, bound.Subject, now)
	r.add(amount, now)
	return r.excess(r.sum(now), bound.Limit, now)
}

// TryUse is Use that counts nothing if the subject has to rest: then it must not use the amount. Who has used nothing
// lately may always, however much: else what is larger than the whole window would never be had.
func (m *Meters) TryUse(kind Kind, bound Bound, amount float64, now time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, now := m.rateLocked(kind, bound.Subject, now)
	used := r.sum(now)
	if rest := r.excess(used+amount, bound.Limit, now); rest > 0 && used > 0 {
		return rest
	}
	r.add(amount, now)
	return 0
}

// Spend takes an amount from the subject's bucket (KIP-599). If the bucket is overdrawn, nothing is taken and ok is
// false; with force it is taken all the same. rest is how long the bucket takes to recover.
func (m *Meters) Spend(kind Kind, bound Bound, amount float64, force bool, now time.Duration) (rest time.Duration, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, now := m.bucketLocked(kind, bound, now)
	b.refill(bound.Limit, now)
	if b.tokens < 0 && !force {
		return b.debt(), false
	}
	b.tokens -= amount
	if force {
		rest = b.debt()
	}
	return rest, true
}

// Burst is the most that a limit allows within one window.
func (m *Meters) Burst(limit float64) float64 {
	return limit * float64(max(m.window.Samples-1, 1)) * m.window.Size.Seconds()
}

// Sample is how long one sample is.
func (m *Meters) Sample() time.Duration { return m.window.Size }

// rateLocked returns the subject's meter and the time that it counts by.
func (m *Meters) rateLocked(kind Kind, subject Subject, now time.Duration) (*rate, time.Duration) {
	made := m.meterLocked(meterKey{kind, subject}, now, func() meter { return newRate(m.window) })
	return made.(*rate), m.mu.now
}

func (m *Meters) bucketLocked(kind Kind, bound Bound, now time.Duration) (*bucket, time.Duration) {
	made := m.meterLocked(meterKey{kind, bound.Subject}, now, func() meter { return newBucket(m.window, bound.Limit, m.mu.now) })
	return made.(*bucket), m.mu.now
}

// meterLocked returns the meter of key, a new one if need be. The time of all meters never goes back.
func (m *Meters) meterLocked(key meterKey, now time.Duration, create func() meter) meter {
	m.mu.now = max(m.mu.now, now)
	known := m.mu.byKey[key]
	if known != nil {
		return known
	}
	if m.mu.now-m.mu.swept >= m.window.Span() {
		m.sweepLocked()
	}
	if len(m.mu.byKey) >= m.most {
		key.subject = Subject{}
		if shared := m.mu.byKey[key]; shared != nil {
			return shared
		}
	}
	created := create()
	m.mu.byKey[key] = created
	return created
}

func (m *Meters) sweepLocked() {
	m.mu.swept = m.mu.now
	for key, known := range m.mu.byKey {
		if known.forgotten(m.mu.now) {
			delete(m.mu.byKey, key)
		}
	}
}
