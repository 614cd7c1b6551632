package broker

import (
	"strconv"

	"github.com/millrace/millrace/broker/internal/partition"
)

// partitionSeriesMax is how many partitions have series of their own.
const partitionSeriesMax = 10_000

// partitionSums are the figures of partitions that share a topic label.
type partitionSums struct {
	bytes    int64
	count    int
	segments int
}

// partitions sends sizes per topic and offsets per partition.
func (c *collector) partitions(s *scrape) {
	topics := map[string]partitionSums{}
	offline, truncated := 0, int64(0)
	flushes := map[partition.Flush]int{partition.FlushCommit: 0, partition.FlushInterval: 0, partition.FlushOS: 0}
	left := partitionSeriesMax
	for _, p := range c.broker.partitions.all() {
		stats := p.Stats()
		truncated += p.Recovery().TornBytes
		flushes[stats.Flush]++
		if stats.Offline || stats.Failed {
			offline++
		}
		label, ok := c.topicLabel(p.Topic())
		if !ok {
			continue
		}
		if _, known := topics[label]; !known && len(topics) >= metricsTopicsMax {
			label = otherTopics
		}
		sum := topics[label]
		sum.bytes += stats.SizeBytes
		sum.segments += stats.Segments
		sum.count++
		topics[label] = sum
		if c.perPartition && label != otherTopics && left > 0 {
			left--
			index := strconv.Itoa(int(p.Index()))
			s.gauge(startOffsetDesc, float64(stats.LogStart), label, index)
			s.gauge(highWatermarkDesc, float64(stats.HighWatermark), label, index)
			s.gauge(lastStableDesc, float64(stats.LastStable), label, index)
		}
	}
	for label, sum := range topics {
		s.gauge(topicBytesDesc, float64(sum.bytes), label)
		s.gauge(topicPartitionsDesc, float64(sum.count), label)
		s.gauge(topicSegmentsDesc, float64(sum.segments), label)
	}
	for flush, count := range flushes {
		s.gauge(flushDesc, float64(count), flush.String())
	}
	s.gauge(offlineDesc, float64(offline))
	s.counter(truncatedDesc, uint64(truncated))
}
