package engine

import "github.com/twmb/franz-go/pkg/kgo"

// Partitioner sends a record to the partition that it names, and one that names none (-1) to where Kafka's own producers would:
// by its key, or wherever there is room if it has none.
func Partitioner() kgo.Partitioner { return partitioner{kgo.StickyKeyPartitioner(nil)} }

type partitioner struct{ byKey kgo.Partitioner }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{p.byKey.ForTopic(topic)}
}

type topicPartitioner struct{ byKey kgo.TopicPartitioner }

func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.byKey.RequiresConsistency(r)
}

func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.byKey.Partition(r, n)
}

func (p topicPartitioner) OnNewBatch() {
	if onNew, is := p.byKey.(kgo.TopicPartitionerOnNewBatch); is {
		onNew.OnNewBatch()
	}
}
