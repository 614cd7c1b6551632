package streams

import "github.com/millrace/millrace/streams/internal/graph"

// Repartition brings each record to the task of the partition that its key belongs to, through a topic that the application creates
// and that nobody else uses: "<App>-<topic>-repartition". What comes before and what comes behind it scale on their own.
func (s Stream[K, V]) Repartition(topic Topic[K, V], options ...SinkOption) Stream[K, V] {
	s.to(topic, graph.Node{Name: topic.name + "-sink", Operator: "repartition"}, true, options)
	return from(s.port.of(), []Topic[K, V]{topic}, true, nil)
}
