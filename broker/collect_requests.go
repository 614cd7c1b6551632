package broker

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
)

var (
	requestsDesc      = describeCounter("requests_total", "Requests that were answered.", "api")
	errorsDesc        = describeCounter("request_errors_total", "Error codes in answers.", "api", "error")
	durationDesc      = describeHistogram("request_duration_seconds", "Time of a request: total from its last byte to its answer; queue behind earlier ones of its connection; local at work; purgatory waiting for a sync, for records or for other members.", "api", "phase")
	requestBytesDesc  = describeHistogram("request_size_bytes", "Sizes of requests.", "api")
	responseBytesDesc = describeHistogram("response_size_bytes", "Sizes of answers.", "api")
	inFlightDesc      = describeGauge("requests_in_flight", "Requests that were read and are not answered yet.", "api")
	purgatoryDesc     = describeGauge("purgatory_requests", "Requests in flight that wait for a sync, for records or for other members.", "api")
	memoryDesc        = describeGauge("request_memory_bytes", "Memory taken by requests under way.")
)

// requests sends what there is to know about requests, for the kinds that were ever asked.
func (c *collector) requests(s *scrape) {
	var inFlight, parked apiCounts
	memory := int64(0)
	if server := c.broker.server; server != nil {
		inFlight, parked = server.underWay()
		memory = server.memory.used()
	}
	s.gauge(memoryDesc, float64(memory))
	for key, am := range c.broker.metrics.apis {
		if am == nil || am.requests.Load() == 0 && inFlight[key] == 0 {
			continue
		}
		s.gauge(inFlightDesc, float64(inFlight[key]), am.name)
		s.gauge(purgatoryDesc, float64(parked[key]), am.name)
		s.counter(requestsDesc, am.requests.Load(), am.name)
		for i, phase := range requestPhases {
			s.histogram(durationDesc, am.durations[i], inSeconds, am.name, phase)
		}
		s.histogram(requestBytesDesc, am.requestBytes, inBytes, am.name)
		s.histogram(responseBytesDesc, am.responseBytes, inBytes, am.name)
		for code, count := range am.errorCounts() {
			s.counter(errorsDesc, count, am.name, errorName(code))
		}
	}
}

// errorName is Kafka's name of an error code.
func errorName(code int16) string {
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Message
	}
	return strconv.Itoa(int(code))
}
