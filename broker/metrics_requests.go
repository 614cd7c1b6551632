package broker

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// apiMetrics are the figures of one kind of request.
type apiMetrics struct {
	name          string
	requests      atomic.Uint64
	durations     [len(requestPhases)]*histogram
	requestBytes  *histogram
	responseBytes *histogram
	errors        struct {
		sync.Mutex
		byCode map[int16]uint64
	}
}

// requestPhases are what the time of a request is told by, each measured for every request: the whole; in line behind
// earlier requests of its connection; at work; waiting for something to happen (a sync, new records, other members).
var requestPhases = [...]string{"total", "queue", "local", "purgatory"}

func newAPIMetrics(name string) *apiMetrics {
	am := &apiMetrics{name: name, requestBytes: newHistogram(sizeBounds), responseBytes: newHistogram(sizeBounds)}
	for i := range am.durations {
		am.durations[i] = newHistogram(durationBounds)
	}
	return am
}

// times are how long the parts of a request took.
type times struct {
	total     time.Duration
	queue     time.Duration // until its handler began
	purgatory time.Duration
}

// served counts a request that was answered with so many bytes, 0 if there is no answer. response is nil if the answer
// was encoded by its handler.
func (m *metrics) served(a *api, took times, requestBytes, responseBytes int64, response kmsg.Response) {
	am := m.apis[a.key]
	am.requests.Add(1)
	local := max(took.total-took.queue-took.purgatory, 0)
	for i, phase := range [...]time.Duration{took.total, took.queue, local, took.purgatory} {
		am.durations[i].observe(int64(phase))
	}
	am.requestBytes.observe(requestBytes)
	if responseBytes > 0 {
		am.responseBytes.observe(responseBytes)
	}
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

// batchRejections are why a produced batch is refused, by the code that the client is told.
var batchRejections = [...]struct {
	reason string
	codes  []*kerr.Error
}{
	{"crc", []*kerr.Error{kerr.CorruptMessage}},
	{"size", []*kerr.Error{kerr.MessageTooLarge, kerr.RecordListTooLarge}},
	{"sequence", []*kerr.Error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID}},
	{"timestamp", []*kerr.Error{kerr.InvalidTimestamp}},
	{"fenced", []*kerr.Error{kerr.InvalidProducerEpoch, kerr.ProducerFenced}},
	{"invalid", []*kerr.Error{kerr.InvalidRecord, kerr.UnsupportedCompressionType, kerr.InvalidTxnState}},
	{"storage", []*kerr.Error{kerr.KafkaStorageError}},
}

// batchRejected counts a batch that was refused with that code. Others, such as that of an unknown topic, say nothing
// about the batch.
func (m *metrics) batchRejected(code int16) {
	for i := range batchRejections {
		for _, known := range batchRejections[i].codes {
			if known.Code == code {
				m.batchesRejected[i].Add(1)
				return
			}
		}
	}
}
