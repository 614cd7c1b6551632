package broker

var (
	compactionDurationDesc = describeHistogram("compaction_duration_seconds", "Time that a pass of compaction over a log took.")
	compactionRatioDesc    = describeGauge("compaction_ratio", "What the last compaction left of the bytes that it went through; 1 is all.", "topic")
	compactionBacklogDesc  = describeGauge("compaction_backlog_bytes", "Bytes in closed segments that are yet to be compacted.", "topic")
	compactionFailuresDesc = describeCounter("compaction_failures_total", "Compactions that failed; a log that is damaged is not tried again.")
)

// cleaner sends what compaction has done and what is left to do.
func (c *collector) cleaner(s *scrape) {
	cleaner := c.broker.cleaner
	s.histogram(compactionDurationDesc, cleaner.durations, inSeconds)
	s.counter(compactionFailuresDesc, cleaner.failures.Load())
	backlog, ratios := cleaner.figures()
	sums, worst := map[string]int64{}, map[string]float64{}
	for topic, bytes := range backlog {
		if label, ok := c.topicLabel(topic); ok {
			sums[label] += bytes
		}
	}
	for topic, ratio := range ratios {
		if label, ok := c.topicLabel(topic); ok {
			worst[label] = max(worst[label], ratio)
		}
	}
	for label, bytes := range sums {
		s.gauge(compactionBacklogDesc, float64(bytes), label)
	}
	for label, ratio := range worst {
		s.gauge(compactionRatioDesc, ratio, label)
	}
}
