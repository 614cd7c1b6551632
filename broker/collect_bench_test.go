package broker

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkScrape is a scrape of many partitions and of many groups, each of which is behind in one of them.
func BenchmarkScrape(b *testing.B) {
	for _, size := range []int{1000, 10_000} {
		for _, granularity := range []string{granularityTopic, granularityPartition} {
			b.Run(fmt.Sprintf("%d/%s", size, granularity), func(b *testing.B) { benchmarkScrape(b, size, granularity) })
		}
	}
}

func benchmarkScrape(b *testing.B, size int, granularity string) {
	broker := startBroker(b, Options{Config: map[string]string{
		"millrace.metrics.granularity": granularity, "millrace.metrics.max.groups": "100000", "log.segment.bytes": "1048576",
	}}, nil)
	const topics = 100
	c := dial(b, broker)
	for i := range topics {
		createTopic(b, broker, uniqueName(i), int32(size/topics))
		c.ask(produceRequest(uniqueName(i), -1, batchOf(b, "a", "b", "c")))
	}
	for i := range size {
		if code := c.commit(8, fmt.Sprintf("group-%d", i), uniqueName(i%topics), 0, int64(i%3)); code != 0 {
			b.Fatal("commit", code)
		}
	}
	handler := newMetricsHandler(broker)
	b.ResetTimer()
	b.ReportAllocs()
	for b.Loop() {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if answer.Code != http.StatusOK {
			b.Fatal(answer.Body)
		}
		n, _ := io.Copy(io.Discard, answer.Body)
		b.ReportMetric(float64(n), "bytes/page")
	}
}
