package streams

import (
	"slices"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Merge returns the records of this stream and of others, in no particular order between them.
func (s Stream[K, V]) Merge(others ...Stream[K, V]) Stream[K, V] {
	all := append([]Stream[K, V]{s}, others...)
	merged := slices.DeleteFunc(slices.Clone(all), func(one Stream[K, V]) bool { return one.port == nil })
	if len(merged) == 0 {
		merged = all
	}
	first := merged[0].port
	n := first.add(graph.Node{Operator: "merge"})
	if len(merged) < len(all) {
		first.topology.fail(n.Name, "it merges a zero Stream: begin with From, and look whether Split has a branch of that name")
	}
	out := newPort[K, V](first.topology, n)
	receiver := func(b *build) (receive[K, V], error) {
		return once(b, n, func() (receive[K, V], error) {
			next, err := out.receiver(b)
			if err != nil {
				return nil, err
			}
			node := b.site.Node(n.Name)
			return func(key K, value V, m *engine.Meta) error {
				m.Enter(node)
				node.Emitted++
				return next(key, value, m)
			}, nil
		})
	}
	for _, one := range merged {
		if one.port.topology != first.topology {
			first.topology.fail(n.Name, "it merges streams of two topologies")
			continue
		}
		if one.port != first {
			n.Parents = append(n.Parents, one.port.node)
		}
		if out.rekeyed == "" {
			out.rekeyed = one.port.rekeyed
		}
		one.port.feed(receiver)
	}
	return Stream[K, V]{out}
}
