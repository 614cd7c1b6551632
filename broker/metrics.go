package broker

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// metrics counts what the broker does. Whoever counts touches only atomics; a scrape reads them (collect.go).
// Its methods are safe for concurrent use.
type metrics struct {
	receivedBytes    atomic.Uint64
	sentBytes        atomic.Uint64
	connectionsTotal atomic.Uint64
	rejections       [len(rejectionReasons)]atomic.Uint64

	apis         [apiKeyMax + 1]*apiMetrics // by key; nil where the key is not served
	appends      histogram
	syncs        histogram
	failedSyncs  atomic.Uint64
	panics       atomic.Uint64 // handlers that panicked
	readySinceMs atomic.Int64  // 0: never

	topics struct {
		sync.RWMutex
		byName map[string]*topicMetrics
	}
}

const (
	apiKeyMax = 127
	// metricsTopicsMax is how many topics are counted apart; what is beyond shares otherTopics.
	metricsTopicsMax = 1000
	otherTopics      = "_other"
)

// Why a connection was not served.
const (
	rejectedTotal    = "max_connections"
	rejectedPerIP    = "max_connections_per_ip"
	rejectedStopping = "stopping"
)

var rejectionReasons = [...]string{rejectedTotal, rejectedPerIP, rejectedStopping}

// apiMetrics are the figures of one kind of request.
type apiMetrics struct {
	name     string
	requests atomic.Uint64
	duration histogram
	errors   struct {
		sync.Mutex
		byCode map[int16]uint64
	}
}

// topicMetrics are the figures of one topic.
type topicMetrics struct {
	producedBytes   atomic.Uint64
	producedRecords atomic.Uint64
	producedBatches atomic.Uint64
	fetchedBytes    atomic.Uint64
	fetchedRecords  atomic.Uint64
}

func newMetrics(served apis) *metrics {
	m := &metrics{}
	for i := range served {
		m.apis[served[i].key] = &apiMetrics{name: served[i].name}
	}
	m.topics.byName = map[string]*topicMetrics{}
	return m
}

func (m *metrics) rejected(reason string) {
	for i, known := range rejectionReasons {
		if known == reason {
			m.rejections[i].Add(1)
		}
	}
}

// served counts a request that was answered. response is nil if the answer was encoded by its handler or there is
// none.
func (m *metrics) served(a *api, took time.Duration, response kmsg.Response) {
	am := m.apis[a.key]
	am.requests.Add(1)
	am.duration.observe(took)
	if response != nil {
		eachErrorCode(response, func(code int16) { m.requestError(a.key, code) })
	}
}

// requestError counts an error code in an answer to a request of that kind. Handlers that encode their answers
// themselves call it; for all others the connection does. Code 0 is not an error.
func (m *metrics) requestError(key, code int16) {
	am := m.apis[key]
	if code == 0 || am == nil {
		return
	}
	am.errors.Lock()
	defer am.errors.Unlock()
	if am.errors.byCode == nil {
		am.errors.byCode = map[int16]uint64{}
	}
	am.errors.byCode[code]++
}

// errorCounts returns how often each error code was answered.
func (am *apiMetrics) errorCounts() map[int16]uint64 {
	am.errors.Lock()
	defer am.errors.Unlock()
	return maps.Clone(am.errors.byCode)
}

// produced counts a batch that was appended for a client.
func (m *metrics) produced(topic string, bytes, records int) {
	t := m.topic(topic)
	t.producedBytes.Add(uint64(bytes))
	t.producedRecords.Add(uint64(records))
	t.producedBatches.Add(1)
}

// fetched counts a range of batches that a fetch is answered with. records is an estimate: the range of offsets.
func (m *metrics) fetched(topic string, bytes, records int) {
	t := m.topic(topic)
	t.fetchedBytes.Add(uint64(bytes))
	t.fetchedRecords.Add(uint64(records))
}

// topic returns the figures of an existing topic.
func (m *metrics) topic(name string) *topicMetrics {
	m.topics.RLock()
	t := m.topics.byName[name]
	m.topics.RUnlock()
	if t != nil {
		return t
	}
	m.topics.Lock()
	defer m.topics.Unlock()
	if t := m.topics.byName[name]; t != nil {
		return t
	}
	if len(m.topics.byName) >= metricsTopicsMax {
		name = otherTopics
		if t := m.topics.byName[name]; t != nil {
			return t
		}
	}
	t = &topicMetrics{}
	m.topics.byName[name] = t
	return t
}

// forget drops the figures of topics that do not exist any more.
func (m *metrics) forget(exists func(topic string) bool) {
	m.topics.Lock()
	defer m.topics.Unlock()
	for name := range m.topics.byName {
		if name != otherTopics && !exists(name) {
			delete(m.topics.byName, name)
		}
	}
}

// observeAppend counts one append to a log.
func (m *metrics) observeAppend(_, _ int, took time.Duration) { m.appends.observe(took) }

// observeSync counts one sync of a log.
func (m *metrics) observeSync(took time.Duration, err error) {
	m.syncs.observe(took)
	if err != nil {
		m.failedSyncs.Add(1)
	}
}

// durationBuckets are the upper bounds of the buckets of histogram, in seconds.
var durationBuckets = [...]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// histogram counts durations.
type histogram struct {
	counts [len(durationBuckets) + 1]atomic.Uint64 // the last one is what is above all bounds
	sum    atomic.Int64                            // nanoseconds
}

func (h *histogram) observe(took time.Duration) {
	seconds := took.Seconds()
	i := 0
	for i < len(durationBuckets) && seconds > durationBuckets[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(took))
}

// snapshot returns how many durations there were, their sum in seconds, and how many were at most each bound.
func (h *histogram) snapshot() (count uint64, sum float64, cumulative map[float64]uint64) {
	cumulative = make(map[float64]uint64, len(durationBuckets))
	for i, bound := range durationBuckets {
		count += h.counts[i].Load()
		cumulative[bound] = count
	}
	count += h.counts[len(durationBuckets)].Load()
	return count, time.Duration(h.sum.Load()).Seconds(), cumulative
}
