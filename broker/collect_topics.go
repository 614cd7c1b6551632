package broker

import "strings"

var (
	producedBytesDesc   = describeCounter("produce_bytes_total", "Bytes of record batches appended for clients.", "topic")
	producedRecordsDesc = describeCounter("produce_records_total", "Records appended for clients.", "topic")
	producedBatchesDesc = describeCounter("produce_batches_total", "Record batches appended for clients.", "topic")
	fetchedBytesDesc    = describeCounter("fetch_bytes_total", "Bytes of record batches sent to clients.", "topic")
	fetchedRecordsDesc  = describeCounter("fetch_records_total", "Records sent to clients, as the range of their offsets.", "topic")
	retainedDesc        = describeCounter("log_retention_deleted_bytes_total", "Bytes of logs that retention deleted.", "topic")
)

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
		s.counter(retainedDesc, sum[5], name)
	}
}

// topicSums are the counters of topics that share a label.
type topicSums map[string][6]uint64

func (sums topicSums) add(label string, t *topicMetrics) {
	sum := sums[label]
	for i, v := range []uint64{t.producedBytes.Load(), t.producedRecords.Load(), t.producedBatches.Load(),
		t.fetchedBytes.Load(), t.fetchedRecords.Load(), t.retainedBytes.Load()} {
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
	label, _ = c.broker.metrics.place(topic)
	return label, true
}
