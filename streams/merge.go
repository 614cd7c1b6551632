package streams

import (
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Merge returns the records of this stream and of others, in no particular order between them.
func (s Stream[K, V]) Merge(others ...Stream[K, V]) Stream[K, V] {
	n := s.add(graph.Node{Operator: "merge"})
	out := newPort[K, V](s.port.topology, n)
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
	for _, one := range append([]Stream[K, V]{s}, others...) {
		if one.port.topology != s.port.topology {
			s.port.topology.fail(n.Name, "it merges streams of two topologies")
			continue
		}
		if one.port != s.port {
			n.Parents = append(n.Parents, one.port.node)
		}
		if out.rekeyed == "" {
			out.rekeyed = one.port.rekeyed
		}
		one.port.feed(receiver)
	}
	return Stream[K, V]{out}
}
