package engine

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	batchOverheadBytes  = 96 // at most: what a batch of one record has besides what is in the record
	headerOverheadBytes = 10
)

// Sink writes records to one topic.
type Sink struct {
	site       *Site
	node       *Node
	topic      string // in Kafka
	partitions int    // 0: not known
	bytesMax   int    // of a record
	policy     Policy
}

// Sink returns what writes to a topic, by its name in Kafka, on behalf of a node.
func (s *Site) Sink(node *Node, topic string, policy Policy) *Sink {
	return &Sink{site: s, node: node, topic: topic, partitions: s.environment.PartitionsOf(topic), bytesMax: s.recordBytesMax(topic),
		policy: policy}
}

// Partitions returns how many the topic has, 0 if it is not known.
func (k *Sink) Partitions() int { return k.partitions }

// Buffer returns room to append a key and a value to, for Emit.
func (k *Sink) Buffer() []byte { return k.site.outbox.buffer() }

// Emit writes a record with the timestamp and the headers of m to the partition that its key belongs to, as Kafka's own
// producers choose it; records without a key are spread. data is what was appended to Buffer: the key, of keyBytes, and behind it
// the value.
func (k *Sink) Emit(data []byte, keyBytes int, m *Meta) error {
	record := k.record(data, keyBytes, m)
	record.Partition = spread(record.Key, m.Source, k.partitions)
	return k.add(record, data, keyBytes, m)
}

// EmitTo is Emit to a partition.
func (k *Sink) EmitTo(partition int, data []byte, keyBytes int, m *Meta) error {
	if partition < 0 || partition >= k.partitions {
		return k.Reject(fmt.Errorf("partition %d of topic %s, which has %d", partition, k.topic, k.partitions), m,
			k.encoded(data, keyBytes, m))
	}
	record := k.record(data, keyBytes, m)
	record.Partition = int32(partition)
	return k.add(record, data, keyBytes, m)
}

func (k *Sink) record(data []byte, keyBytes int, m *Meta) *kgo.Record {
	record := k.site.outbox.record()
	if !m.NoKey {
		record.Key = data[:keyBytes:keyBytes]
	}
	if !m.NoValue {
		record.Value = data[keyBytes:len(data):len(data)]
	}
	record.Topic, record.Headers, record.Timestamp = k.topic, m.Headers, time.UnixMilli(m.TimestampMs)
	return record
}

func (k *Sink) add(record *kgo.Record, data []byte, keyBytes int, m *Meta) error {
	if size := sizeOf(record); size > k.bytesMax {
		k.site.outbox.takeBack(record)
		return k.Reject(fmt.Errorf("a record for topic %s: %w (%d bytes of at most %d)",
			k.topic, kerr.MessageTooLarge, size, k.bytesMax), m, k.encoded(data, keyBytes, m))
	}
	k.site.outbox.keep(data)
	k.site.outbox.add(record)
	k.node.Emitted++
	return nil
}

// encoded returns copies of what was encoded.
func (k *Sink) encoded(data []byte, keyBytes int, m *Meta) Encode {
	return func() (key, value []byte) {
		if !m.NoKey {
			key = append([]byte{}, data[:keyBytes]...)
		}
		if !m.NoValue {
			value = append([]byte{}, data[keyBytes:]...)
		}
		return key, value
	}
}

// Reject does what the sink's policy says with a record that cannot be written.
func (k *Sink) Reject(cause error, m *Meta, encode Encode) error {
	return k.site.Reject(k.node, k.policy, Produce, cause, m, encode)
}

// keys finds partitions as Kafka's producers do.
var keys = kgo.StickyKeyPartitioner(nil).ForTopic("")

// spread returns the partition for a key. Without one it depends on the input record alone, so that a record that is
// processed again goes where it went.
func spread(key []byte, source *kgo.Record, partitions int) int32 {
	switch {
	case partitions <= 0:
		return -1
	case partitions == 1:
		return 0
	case key != nil:
		record := kgo.Record{Key: key}
		return int32(keys.Partition(&record, partitions))
	case source != nil:
		return int32((int64(source.Partition) + source.Offset) % int64(partitions))
	}
	return 0
}

// sizeOf is how large a batch with this record alone may be.
func sizeOf(record *kgo.Record) int {
	size := batchOverheadBytes + len(record.Key) + len(record.Value)
	for _, header := range record.Headers {
		size += headerOverheadBytes + len(header.Key) + len(header.Value)
	}
	return size
}
