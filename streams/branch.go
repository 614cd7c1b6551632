package streams

import (
	"fmt"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Branch splits a stream: each record goes to the first of the returned streams whose predicate holds, and to the last one, which
// is one more than the predicates, if none does. A record without a value goes to all, so that a deletion comes to wherever the
// value went.
func (s Stream[K, V]) Branch(predicates ...func(key K, value V) bool) []Stream[K, V] {
	n := s.add(graph.Node{Operator: "branch"})
	for i, predicate := range predicates {
		s.port.topology.needs(n, argument{fmt.Sprintf("predicate %d", i), predicate})
	}
	ports := make([]*port[K, V], len(predicates)+1)
	branches := make([]Stream[K, V], len(ports))
	for i := range ports {
		ports[i] = newPort[K, V](s.port.of(), n)
		ports[i].edge, ports[i].rekeyed = fmt.Sprintf("branch-%d", i), s.port.rekeyed
		branches[i] = Stream[K, V]{ports[i]}
	}
	ports[len(predicates)].edge = "rest"
	s.port.feed(func(b *build) (receive[K, V], error) {
		d := &distributor[K, V]{node: b.site.Node(n.Name), predicates: predicates, next: make([]receive[K, V], len(ports))}
		for i, p := range ports {
			var err error
			if d.next[i], err = p.receiver(b); err != nil {
				return nil, err
			}
		}
		return d.receive, nil
	})
	return branches
}

// distributor is a branch in a task.
type distributor[K, V any] struct {
	node       *engine.Node
	predicates []func(K, V) bool
	next       []receive[K, V]
}

func (d *distributor[K, V]) receive(key K, value V, m *engine.Meta) error {
	m.Enter(d.node)
	if m.NoValue {
		return d.toAll(key, value, m)
	}
	branch := len(d.predicates)
	for i, holds := range d.predicates {
		if holds(key, value) {
			branch = i
			break
		}
	}
	d.node.Emitted++
	return d.next[branch](key, value, m)
}

func (d *distributor[K, V]) toAll(key K, value V, m *engine.Meta) error {
	for _, next := range d.next {
		d.node.Emitted++
		if err := next(key, value, m); err != nil {
			return err
		}
	}
	return nil
}

// Split begins a split whose branches have names.
func (s Stream[K, V]) Split() *Split[K, V] { return &Split[K, V]{stream: s} }

// Split is a stream whose records go to the first of several branches that wants them.
type Split[K, V any] struct {
	stream Stream[K, V]
	names  []string
	wants  []func(K, V) bool
}

// Branch adds a branch for what no branch before it wants.
func (s *Split[K, V]) Branch(name string, wants func(key K, value V) bool) *Split[K, V] {
	s.names, s.wants = append(s.names, name), append(s.wants, wants)
	return s
}

// Streams returns the branches by name. Records that none wants are in the one of the name rest; with "" they are left out.
func (s *Split[K, V]) Streams(rest string) map[string]Stream[K, V] {
	branches := s.stream.Branch(s.wants...)
	byName := make(map[string]Stream[K, V], len(branches))
	names := s.names
	if rest != "" {
		names = append(names, rest)
	}
	for i, name := range names {
		if _, twice := byName[name]; twice {
			s.stream.port.of().fail(branches[i].port.node.Name, "two branches have the name %q", name)
		}
		branches[i].port.edge = name
		byName[name] = branches[i]
	}
	return byName
}
