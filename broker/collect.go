package broker

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
)

// collector reads the broker's figures when somebody scrapes them.
type collector struct {
	broker                 *Broker
	perPartition, perTopic bool // how fine the labels are (millrace.metrics.granularity)
}

// Granularities of millrace.metrics.granularity.
const (
	granularityTopic     = "topic"
	granularityPartition = "partition"
)

// What the broker exports, besides the descriptions that lie beside what they tell of.
var (
	buildInfoDesc        = describeGauge("build_info", "Always 1; the labels say what runs.", "version", "revision", "goversion")
	readyDesc            = describeGauge("ready", "1 if clients are served, else 0.")
	startTimeDesc        = describeGauge("start_time_seconds", "When the broker became ready, in seconds since 1970.")
	connectionsDesc      = describeGauge("connections", "Open client connections.")
	connectionsTotalDesc = describeCounter("connections_total", "Client connections that were accepted.")
	rejectedDesc         = describeCounter("connections_rejected_total", "Client connections that were closed at once.", "reason")
	receivedDesc         = describeCounter("received_bytes_total", "Bytes received from clients.")
	sentDesc             = describeCounter("sent_bytes_total", "Bytes sent to clients.")
	memoryDesc           = describeGauge("request_memory_bytes", "Memory taken by requests under way.")
	requestsDesc         = describeCounter("requests_total", "Requests that were answered.", "api")
	errorsDesc           = describeCounter("request_errors_total", "Error codes in answers.", "api", "error")
	durationDesc         = describeHistogram("request_duration_seconds", "Time from a request's last byte to its answer.", "api")
	panicsDesc           = describeCounter("request_panics_total", "Requests whose handler panicked, which is a defect.")
	producedBytesDesc    = describeCounter("produce_bytes_total", "Bytes of record batches appended for clients.", "topic")
	producedRecordsDesc  = describeCounter("produce_records_total", "Records appended for clients.", "topic")
	producedBatchesDesc  = describeCounter("produce_batches_total", "Record batches appended for clients.", "topic")
	fetchedBytesDesc     = describeCounter("fetch_bytes_total", "Bytes of record batches sent to clients.", "topic")
	fetchedRecordsDesc   = describeCounter("fetch_records_total", "Records sent to clients, as the range of their offsets.", "topic")
	appendDesc           = describeHistogram("log_append_duration_seconds", "Time to append a batch to a log.")
	syncDesc             = describeHistogram("log_fsync_duration_seconds", "Time to make a log durable.")
	syncFailedDesc       = describeCounter("log_fsync_failures_total", "Syncs that failed; each takes its partition out of service.")
	truncatedDesc        = describeCounter("log_truncated_bytes_total", "Bytes cut from the ends of logs when they were opened.")
	topicBytesDesc       = describeGauge("topic_log_bytes", "Size of a topic's logs.", "topic")
	topicPartitionsDesc  = describeGauge("topic_partitions", "Partitions of a topic.", "topic")
	topicSegmentsDesc    = describeGauge("topic_segments", "Segments of a topic's logs.", "topic")
	flushDesc            = describeGauge("partitions", "Partitions by their flush setting. With any but commit, acknowledged records may be lost in a power cut.", "flush")
	offlineDesc          = describeGauge("partitions_offline", "Partitions that cannot be written to.")
	startOffsetDesc      = describeGauge("partition_start_offset", "First offset that is kept.", "topic", "partition")
	highWatermarkDesc    = describeGauge("partition_high_watermark", "Offset after the last committed record.", "topic", "partition")
	lastStableDesc       = describeGauge("partition_last_stable_offset", "Offset after the last record that a read_committed consumer sees.", "topic", "partition")
	lagDesc              = describeGauge("consumer_group_lag_offsets", "Offsets between what a group has committed and the high watermark.", "group", "topic")
	partitionLagDesc     = describeGauge("consumer_group_partition_lag_offsets", "Offsets between what a group has committed and the high watermark.", "group", "topic", "partition")
)

func newCollector(b *Broker) *collector {
	granularity := b.config.MillraceMetricsGranularity
	return &collector{
		broker:       b,
		perPartition: granularity == granularityPartition,
		perTopic:     granularity == granularityPartition || granularity == granularityTopic,
	}
}

// Describe sends no descriptions: which series there are is known at each scrape.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the figures of now.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := &scrape{out: out}
	c.process(s)
	c.traffic(s)
	c.requests(s)
	if c.broker.currentState() != running {
		return // the partitions are not there yet, or not any more
	}
	c.topics(s)
	c.partitions(s)
	c.groups(s)
	c.disk(s)
}

// scrape is one reading of all figures.
type scrape struct{ out chan<- prometheus.Metric }

func (s *scrape) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s *scrape) counter(d *prometheus.Desc, value uint64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func (s *scrape) histogram(d *prometheus.Desc, h *histogram, labels ...string) {
	count, sum, buckets := h.snapshot()
	s.out <- prometheus.MustNewConstHistogram(d, count, sum, buckets, labels...)
}

func (c *collector) process(s *scrape) {
	version, revision := buildVersion()
	s.gauge(buildInfoDesc, 1, version, revision, runtime.Version())
	ready := 0.0
	if c.broker.currentState() == running {
		ready = 1
		s.gauge(startTimeDesc, float64(c.broker.metrics.readySinceMs.Load())/1000)
	}
	s.gauge(readyDesc, ready)
}

// buildVersion is what the program was built from.
func buildVersion() (version, revision string) {
	version, revision = "unknown", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision
	}
	if info.Main.Version != "" {
		version = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			revision = setting.Value
		}
	}
	return version, revision
}

func (c *collector) traffic(s *scrape) {
	m := c.broker.metrics
	connections, memory := 0, int64(0)
	if server := c.broker.server; server != nil {
		connections, memory = server.connections(), server.memory.used()
	}
	s.gauge(connectionsDesc, float64(connections))
	s.gauge(memoryDesc, float64(memory))
	s.counter(connectionsTotalDesc, m.connectionsTotal.Load())
	for i, reason := range rejectionReasons {
		s.counter(rejectedDesc, m.rejections[i].Load(), reason)
	}
	s.counter(receivedDesc, m.receivedBytes.Load())
	s.counter(sentDesc, m.sentBytes.Load())
	s.histogram(appendDesc, &m.appends)
	s.histogram(syncDesc, &m.syncs)
	s.counter(panicsDesc, m.panics.Load())
	s.counter(syncFailedDesc, m.failedSyncs.Load())
}

func (c *collector) requests(s *scrape) {
	for _, am := range c.broker.metrics.apis {
		if am == nil || am.requests.Load() == 0 {
			continue
		}
		s.counter(requestsDesc, am.requests.Load(), am.name)
		s.histogram(durationDesc, &am.duration, am.name)
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

// topics sends what was counted per topic. Topics that are gone are dropped here.
func (c *collector) topics(s *scrape) {
	image := c.broker.controller.image()
	m := c.broker.metrics
	m.forget(func(topic string) bool { return image.Topic(topic) != nil })
	sums := topicSums{}
	m.topics.RLock()
	for name, t := range m.topics.byName {
		if label, ok := c.topicLabel(name); ok {
			sums.add(label, t)
		}
	}
	m.topics.RUnlock()
	for name, sum := range sums {
		s.counter(producedBytesDesc, sum[0], name)
		s.counter(producedRecordsDesc, sum[1], name)
		s.counter(producedBatchesDesc, sum[2], name)
		s.counter(fetchedBytesDesc, sum[3], name)
		s.counter(fetchedRecordsDesc, sum[4], name)
	}
}

// topicSums are the counters of topics that share a label.
type topicSums map[string][5]uint64

func (sums topicSums) add(label string, t *topicMetrics) {
	sum := sums[label]
	for i, v := range []uint64{t.producedBytes.Load(), t.producedRecords.Load(), t.producedBatches.Load(),
		t.fetchedBytes.Load(), t.fetchedRecords.Load()} {
		sum[i] += v
	}
	sums[label] = sum
}

// allTopics is the topic label when figures are not told apart by topic.
const allTopics = ""

// topicLabel is the topic label of a topic's figures. ok is false for internal topics, which are left out.
func (c *collector) topicLabel(topic string) (label string, ok bool) {
	if strings.HasPrefix(topic, "__") {
		return "", false
	}
	if !c.perTopic {
		return allTopics, true
	}
	return topic, true
}
