package broker

import (
	"strconv"

	"github.com/millrace/millrace/broker/internal/partition"
)

// partitionSeriesMax is how many partitions have series of their own.
const partitionSeriesMax = 10_000

var (
	truncatedDesc       = describeCounter("log_truncated_bytes_total", "Bytes cut from the ends of logs when they were opened.")
	topicBytesDesc      = describeGauge("topic_log_bytes", "Size of a topic's logs.", "topic")
	topicPartitionsDesc = describeGauge("topic_partitions", "Partitions of a topic.", "topic")
	topicSegmentsDesc   = describeGauge("topic_segments", "Segments of a topic's logs.", "topic")
	flushDesc           = describeGauge("partitions", "Partitions by their flush setting. With any but commit, acknowledged records may be lost in a power cut.", "flush")
	offlineDesc         = describeGauge("partitions_offline", "Partitions that cannot be written to.")
	producersDesc       = describeGauge("producer_ids", "Idempotent producers whose state the partitions keep.")
	startOffsetDesc     = describeGauge("partition_start_offset", "First offset that is kept.", "topic", "partition")
	highWatermarkDesc   = describeGauge("partition_high_watermark", "Offset after the last committed record.", "topic", "partition")
	lastStableDesc      = describeGauge("partition_last_stable_offset", "Offset after the last record that a read_committed consumer sees.", "topic", "partition")
)

// partitionSums are the figures of partitions that share a topic label.
type partitionSums struct {
	bytes    int64
	count    int
	segments int
}

// partitionScrape is one pass over all partitions.
type partitionScrape struct {
	*collector
	*scrape
	topics    map[string]partitionSums
	flushes   map[partition.Flush]int
	offline   int
	producers int
	truncated int64
	series    int // partitions with series of their own
	leftOut   map[string]int
}

// partitions sends sizes per topic and offsets per partition.
func (c *collector) partitions(s *scrape) {
	pass := partitionScrape{
		collector: c, scrape: s, topics: map[string]partitionSums{},
		flushes: map[partition.Flush]int{partition.FlushCommit: 0, partition.FlushInterval: 0, partition.FlushOS: 0},
		leftOut: map[string]int{"topic": 0, "partition": 0},
	}
	for _, p := range c.broker.partitions.sorted() {
		pass.add(p)
	}
	pass.send()
}

func (c *partitionScrape) add(p *partition.Partition) {
	stats := p.Stats()
	c.truncated += p.Recovery().TornBytes
	c.flushes[stats.Flush]++
	c.producers += p.ProducerCount()
	if stats.Offline || stats.Failed {
		c.offline++
	}
	label, ok := c.topicLabel(p.Topic())
	if !ok {
		return
	}
	sum := c.topics[label]
	sum.bytes += stats.SizeBytes
	sum.segments += stats.Segments
	sum.count++
	c.topics[label] = sum
	if label == otherTopics && p.Index() == 0 {
		c.leftOut["topic"]++
	}
	switch {
	case !c.perPartition:
	case label == otherTopics || c.series == partitionSeriesMax:
		c.leftOut["partition"]++
	default:
		c.series++
		index := strconv.Itoa(int(p.Index()))
		c.gauge(startOffsetDesc, float64(stats.LogStart), label, index)
		c.gauge(highWatermarkDesc, float64(stats.HighWatermark), label, index)
		c.gauge(lastStableDesc, float64(stats.LastStable), label, index)
	}
}

func (c *partitionScrape) send() {
	for label, sum := range c.topics {
		c.gauge(topicBytesDesc, float64(sum.bytes), label)
		c.gauge(topicPartitionsDesc, float64(sum.count), label)
		c.gauge(topicSegmentsDesc, float64(sum.segments), label)
	}
	for flush, count := range c.flushes {
		c.gauge(flushDesc, float64(count), flush.String())
	}
	for kind, count := range c.leftOut {
		c.gauge(leftOutDesc, float64(count), kind)
	}
	c.gauge(offlineDesc, float64(c.offline))
	c.gauge(producersDesc, float64(c.producers))
	c.counter(truncatedDesc, uint64(c.truncated))
}
