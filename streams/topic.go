package streams

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/streams/internal/graph"
	"github.com/millrace/millrace/streams/serde"
)

// recordBytes is the room that Record begins with.
const recordBytes = 64

// Topic describes a topic: its name and what its keys and values are. It is a plain value, safe for concurrent use.
type Topic[K, V any] struct {
	name       string
	key        serde.Serde[K]
	value      serde.Serde[V]
	partitions int
}

// NewTopic describes the topic of that name.
func NewTopic[K, V any](name string, key serde.Serde[K], value serde.Serde[V]) Topic[K, V] {
	return Topic[K, V]{name: name, key: key, value: value}
}

// WithPartitions returns the description of a repartition topic with so many partitions. 0, the default, is as many as what it
// meets in a store needs, else as many as it is made of. It says nothing about topics that the application does not create.
func (t Topic[K, V]) WithPartitions(n int) Topic[K, V] {
	t.partitions = n
	return t
}

// Name returns the topic's name. That of a repartition topic has the application's name before it in Kafka.
func (t Topic[K, V]) Name() string { return t.name }

// Record encodes a record of the topic.
func (t Topic[K, V]) Record(key K, value V) (*kgo.Record, error) {
	data, err := t.key.Append(make([]byte, 0, recordBytes), key) // not nil: an empty key is a key
	if err != nil {
		return nil, err
	}
	keyBytes := len(data)
	if data, err = t.value.Append(data, value); err != nil {
		return nil, err
	}
	return &kgo.Record{Topic: t.name, Key: data[:keyBytes:keyBytes], Value: data[keyBytes:]}, nil
}

// Decode decodes a record of the topic. What is missing is the zero value.
func (t Topic[K, V]) Decode(record *kgo.Record) (key K, value V, err error) {
	if record.Key != nil {
		if key, err = t.key.Decode(record.Key); err != nil {
			return key, value, err
		}
	}
	if record.Value != nil {
		value, err = t.value.Decode(record.Value)
	}
	return key, value, err
}

// describe notes the topic in a graph.
func (t Topic[K, V]) describe(internal bool) graph.Topic {
	described := graph.Topic{Name: t.name, Internal: internal, Key: t.key.Name(), Value: t.value.Name()}
	if internal {
		described.Partitions = t.partitions
	}
	return described
}

// lacksCodec notes the mistake of a topic without codecs, and reports whether it is one.
func (t Topic[K, V]) lacksCodec(topology *Topology) bool {
	lacks := t.key == nil || t.value == nil
	if lacks {
		topology.fail(t.name, "the topic lacks the codec of its keys or of its values: give both to NewTopic")
	}
	return lacks
}
