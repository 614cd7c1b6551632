package broker

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/broker/internal/quota"
)

// metrics counts what the broker does. Whoever counts touches only atomics; a scrape reads them (collect.go).
// Its methods are safe for concurrent use.
type metrics struct {
	receivedBytes   atomic.Uint64
	sentBytes       atomic.Uint64
	rejections      [len(rejectionReasons)]atomic.Uint64
	batchesRejected [len(batchRejections)]atomic.Uint64

	apis         [apiKeyMax + 1]*apiMetrics // by key; nil where the key is not served
	appends      *histogram
	syncs        *histogram
	failedSyncs  atomic.Uint64
	panics       atomic.Uint64                 // handlers that panicked
	throttled    [quota.KindCount]atomic.Int64 // nanoseconds for which clients had to rest
	muted        atomic.Int64                  // connections that are not read for now
	readySinceMs atomic.Int64                  // 0: never
	recovery     atomic.Int64                  // how long the start took to open the logs, nanoseconds

	accepted struct { // connections by listener
		sync.Mutex
		byListener map[string]uint64
	}

	topics struct {
		sync.RWMutex
		most   int // what is beyond shares otherTopics (millrace.metrics.max.topics)
		byName map[string]*topicMetrics
	}
}

const (
	apiKeyMax   = 127
	otherTopics = "_other"
)

// Why a connection was not served.
const (
	rejectedTotal    = "max_connections"
	rejectedPerIP    = "max_connections_per_ip"
	rejectedStopping = "stopping"
	rejectedRate     = "connection_creation_rate"
)

var rejectionReasons = [...]string{rejectedTotal, rejectedPerIP, rejectedStopping, rejectedRate}

// topicMetrics are the figures of one topic.
type topicMetrics struct {
	producedBytes   atomic.Uint64
	producedRecords atomic.Uint64
	producedBatches atomic.Uint64
	fetchedBytes    atomic.Uint64
	fetchedRecords  atomic.Uint64
	retainedBytes   atomic.Uint64 // deleted by retention
}

// newMetrics returns metrics that tell so many topics apart.
func newMetrics(served apis, topicsMax int) *metrics {
	m := &metrics{appends: newHistogram(durationBounds), syncs: newHistogram(durationBounds)}
	for i := range served {
		m.apis[served[i].key] = newAPIMetrics(served[i].name)
	}
	m.topics.most, m.topics.byName = topicsMax, map[string]*topicMetrics{}
	m.accepted.byListener = map[string]uint64{}
	return m
}

// connected counts a connection that is served.
func (m *metrics) connected(listener string) {
	m.accepted.Lock()
	defer m.accepted.Unlock()
	m.accepted.byListener[listener]++
}

// acceptedCounts returns how many connections each listener has had.
func (m *metrics) acceptedCounts() map[string]uint64 {
	m.accepted.Lock()
	defer m.accepted.Unlock()
	return maps.Clone(m.accepted.byListener)
}

// rejected counts a connection that is not.
func (m *metrics) rejected(reason string) {
	for i, known := range rejectionReasons {
		if known == reason {
			m.rejections[i].Add(1)
		}
	}
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

// retained counts what retention deleted.
func (m *metrics) retained(topic string, bytes int64) {
	m.topic(topic).retainedBytes.Add(uint64(bytes))
}

// topic returns the figures of an existing topic.
func (m *metrics) topic(name string) *topicMetrics {
	_, t := m.place(name)
	return t
}

// place returns the label and the figures of an existing topic: its own if it was among the first to come, and else
// those that all others share.
func (m *metrics) place(name string) (label string, t *topicMetrics) {
	m.topics.RLock()
	t = m.topics.byName[name]
	m.topics.RUnlock()
	if t != nil {
		return name, t
	}
	m.topics.Lock()
	defer m.topics.Unlock()
	if _, known := m.topics.byName[name]; !known && m.ownLocked() >= m.topics.most {
		name = otherTopics
	}
	if t = m.topics.byName[name]; t == nil {
		t = &topicMetrics{}
		m.topics.byName[name] = t
	}
	return name, t
}

// ownLocked is how many topics have figures of their own.
func (m *metrics) ownLocked() int {
	if m.topics.byName[otherTopics] != nil {
		return len(m.topics.byName) - 1
	}
	return len(m.topics.byName)
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
func (m *metrics) observeAppend(_, _ int, took time.Duration) { m.appends.observe(int64(took)) }

// observeSync counts one sync of a log.
func (m *metrics) observeSync(took time.Duration, err error) {
	m.syncs.observe(int64(took))
	if err != nil {
		m.failedSyncs.Add(1)
	}
}
