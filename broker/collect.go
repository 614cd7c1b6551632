package broker

import (
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the broker's figures when somebody scrapes them.
type collector struct {
	broker                 *Broker
	perPartition, perTopic bool // how fine the labels are (millrace.metrics.granularity)
	groupsMax              int  // how many groups are told apart (millrace.metrics.max.groups)
	stuck                  stuckOffsets
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
	recoveryDesc         = describeGauge("log_recovery_seconds", "Time that the last start took to open and check the logs.")
	connectionsDesc      = describeGauge("connections", "Open client connections.", "listener")
	connectionsTotalDesc = describeCounter("connections_total", "Client connections that were accepted.", "listener")
	rejectedDesc         = describeCounter("connections_rejected_total", "Client connections that were closed at once.", "reason")
	receivedDesc         = describeCounter("received_bytes_total", "Bytes received from clients.")
	sentDesc             = describeCounter("sent_bytes_total", "Bytes sent to clients.")
	panicsDesc           = describeCounter("request_panics_total", "Requests whose handler panicked, which is a defect.")
	batchesRejectedDesc  = describeCounter("batches_rejected_total", "Record batches of producers that were refused.", "reason")
	appendDesc           = describeHistogram("log_append_duration_seconds", "Time to append a batch to a log.")
	syncDesc             = describeHistogram("log_fsync_duration_seconds", "Time to make a log durable.")
	leftOutDesc          = describeGauge("metrics_left_out", "Topics and groups that share the label _other, and partitions and lags without series, because of a limit.", "kind")
	syncFailedDesc       = describeCounter("log_fsync_failures_total", "Syncs that failed; each takes its partition out of service.")
)

func newCollector(b *Broker) *collector {
	granularity := b.config.MillraceMetricsGranularity
	return &collector{
		broker:       b,
		perPartition: granularity == granularityPartition,
		perTopic:     granularity == granularityPartition || granularity == granularityTopic,
		groupsMax:    int(b.config.MillraceMetricsMaxGroups),
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
	c.quotas(s)
	if c.broker.currentState() != running {
		return // the partitions are not there yet, or not any more
	}
	c.topics(s)
	c.partitions(s)
	c.groups(s)
	c.transactions(s)
	c.stability(s)
	c.disk(s)
	c.cleaner(s)
	c.scrub(s)
}

// scrape is one reading of all figures.
type scrape struct{ out chan<- prometheus.Metric }

func (s *scrape) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s *scrape) counter(d *prometheus.Desc, value uint64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func (s *scrape) histogram(d *prometheus.Desc, h *histogram, unit float64, labels ...string) {
	count, sum, buckets := h.snapshot(unit)
	s.out <- prometheus.MustNewConstHistogram(d, count, sum, buckets, labels...)
}

func (c *collector) process(s *scrape) {
	version, revision := buildVersion()
	s.gauge(buildInfoDesc, 1, version, revision, runtime.Version())
	ready := 0.0
	if c.broker.currentState() == running {
		ready = 1
		s.gauge(startTimeDesc, float64(c.broker.metrics.readySinceMs.Load())/1000)
		s.gauge(recoveryDesc, time.Duration(c.broker.metrics.recovery.Load()).Seconds())
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
	if server := c.broker.server; server != nil {
		for listener, count := range server.connections() {
			s.gauge(connectionsDesc, float64(count), listener)
		}
	}
	for listener, count := range m.acceptedCounts() {
		s.counter(connectionsTotalDesc, count, listener)
	}
	for i, reason := range rejectionReasons {
		s.counter(rejectedDesc, m.rejections[i].Load(), reason)
	}
	for i := range batchRejections {
		s.counter(batchesRejectedDesc, m.batchesRejected[i].Load(), batchRejections[i].reason)
	}
	s.counter(receivedDesc, m.receivedBytes.Load())
	s.counter(sentDesc, m.sentBytes.Load())
	s.histogram(appendDesc, m.appends, inSeconds)
	s.histogram(syncDesc, m.syncs, inSeconds)
	s.counter(panicsDesc, m.panics.Load())
	s.counter(syncFailedDesc, m.failedSyncs.Load())
}
