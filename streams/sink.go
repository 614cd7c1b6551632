package streams

import (
	"fmt"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// To writes the records to a topic, which has to exist, with their timestamps and headers. Without PartitionBy they go where Kafka's own producers put
// their keys; records without a key are spread.
func (s Stream[K, V]) To(topic Topic[K, V], options ...SinkOption) {
	s.to(topic, graph.Node{Name: topic.name, Operator: "sink"}, false, options)
}

func (s Stream[K, V]) to(topic Topic[K, V], n graph.Node, internal bool, options []SinkOption) {
	var o sinkOptions
	t := s.port.of()
	for _, option := range options {
		if option == nil {
			t.fail(n.Name, "one of its options is nil")
			continue
		}
		option(&o)
	}
	if topic.lacksCodec(t) {
		return
	}
	t.graph.AddTopic(topic.describe(internal))
	n.Name, n.Topics = t.free(n.Name), []string{topic.name}
	policy := t.follow(n.Name, o.onProduceError)
	n.DeadLetters = policy.DeadLetters
	added := s.add(n)
	added.Kind = graph.Sink
	partitionBy, ok := o.partitionBy.(func(K, V, int) int)
	if o.partitionBy != nil && !ok {
		t.fail(n.Name, "PartitionBy has a %T, needed is a %T", o.partitionBy, partitionBy)
	} else if o.partitionBy != nil {
		t.needs(added, argument{"of PartitionBy", partitionBy})
	}
	s.port.feed(func(b *build) (receive[K, V], error) {
		node := b.site.Node(added.Name)
		e := &encoder[K, V]{node: node, topic: topic, partitionBy: partitionBy,
			sink: b.site.Sink(node, b.topology.graph.KafkaTopic(b.site.App(), topic.name), policy)}
		return e.receive, nil
	})
}

// SinkOption is an option of To and Repartition.
type SinkOption func(*sinkOptions)

type sinkOptions struct {
	onProduceError Policy
	partitionBy    any // func(K, V, int) int
}

// OnProduceError sets what becomes of records that cannot be written: that do not encode, are larger than the topic's
// max.message.bytes at the start of Run, before compression, or that PartitionBy puts into a partition that does not exist.
// Otherwise they end Run.
func OnProduceError(policy Policy) SinkOption {
	return func(o *sinkOptions) { o.onProduceError = policy }
}

// PartitionBy chooses partitions, from 0 to below partitions. It must depend on nothing else. What it is given of a missing key or
// value is the zero value.
func PartitionBy[K, V any](partition func(key K, value V, partitions int) int) SinkOption {
	return func(o *sinkOptions) { o.partitionBy = partition }
}

// encoder makes records of one topic.
type encoder[K, V any] struct {
	node        *engine.Node
	sink        *engine.Sink
	topic       Topic[K, V]
	partitionBy func(K, V, int) int
}

func (e *encoder[K, V]) receive(key K, value V, m *engine.Meta) (err error) {
	m.Enter(e.node)
	data := e.sink.Buffer()
	if !m.NoKey {
		if data, err = e.topic.key.Append(data, key); err != nil {
			return e.sink.Reject(fmt.Errorf("encode the key: %w", err), m, letter(e.topic.key, e.topic.value, key, value, m))
		}
	}
	keyBytes := len(data)
	if !m.NoValue {
		if data, err = e.topic.value.Append(data, value); err != nil {
			return e.sink.Reject(fmt.Errorf("encode the value: %w", err), m, letter(e.topic.key, e.topic.value, key, value, m))
		}
	}
	if e.partitionBy == nil {
		return e.sink.Emit(data, keyBytes, m)
	}
	return e.sink.EmitTo(e.partitionBy(key, value, e.sink.Partitions()), data, keyBytes, m)
}
