package streams

import (
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Stream is a stream of records at one point of a topology. Each of what is made of it gets all its records, in the order in
// which they were added. It is a handle: a plain value that holds no records. The zero Stream is none: what has one as an argument
// notes that as a mistake of the topology, what is called on one panics, since there is no topology to tell.
type Stream[K, V any] struct {
	port *port[K, V]
}

// receive takes one record. What is missing (m.NoKey, m.NoValue) is the zero value.
type receive[K, V any] func(key K, value V, m *engine.Meta) error

// port is an output of a node, and what is connected to it.
type port[K, V any] struct {
	topology  *Topology
	node      *graph.Node
	edge      string // which output of the node it is: "" for the usual one
	rekeyed   string // the node that has changed the keys, so that they are not where they belong; "": none
	consumers []func(*build) (receive[K, V], error)
}

func newPort[K, V any](t *Topology, n *graph.Node) *port[K, V] {
	return &port[K, V]{topology: t, node: n}
}

// of returns the topology that the port is in. The port of a zero Stream or Table is in none, which only the caller can be told.
func (p *port[K, V]) of() *Topology {
	if p == nil {
		panic("streams: an operator is called on a zero Stream or Table, that nothing has made: " +
			"begin with From or TableFrom, and look whether Split has a branch of that name")
	}
	return p.topology
}

// feed connects what takes the port's records, as it is made for each task.
func (p *port[K, V]) feed(consumer func(*build) (receive[K, V], error)) {
	p.consumers = append(p.consumers, consumer)
}

// receiver makes what takes the port's records in one task: all that is connected to it.
func (p *port[K, V]) receiver(b *build) (receive[K, V], error) {
	return once(b, p, func() (receive[K, V], error) {
		consumers := make([]receive[K, V], len(p.consumers))
		for i, consumer := range p.consumers {
			var err error
			if consumers[i], err = consumer(b); err != nil {
				return nil, err
			}
		}
		switch len(consumers) {
		case 0:
			return func(K, V, *engine.Meta) error { return nil }, nil
		case 1:
			return consumers[0], nil
		}
		return func(key K, value V, m *engine.Meta) error {
			for _, consumer := range consumers {
				if err := consumer(key, value, m); err != nil {
					return err
				}
			}
			return nil
		}, nil
	})
}

// build is the making of the operators of one task, those behind before those in front of them.
type build struct {
	site     *engine.Site
	topology *Topology
	made     map[any]any
}

// once makes what belongs to a key, a port or a node, at most once per task.
func once[T any](b *build, key any, make func() (T, error)) (T, error) {
	if made, known := b.made[key]; known {
		return made.(T), nil
	}
	made, err := make()
	if err == nil {
		b.made[key] = made
	}
	return made, err
}

// operator adds a node with one input and one output. make is called once per task, with what takes the node's output. given are the
// functions that the user gave.
func operator[K, V, K2, V2 any](s Stream[K, V], n graph.Node,
	make func(b *build, node *engine.Node, next receive[K2, V2]) (receive[K, V], error), given ...argument,
) Stream[K2, V2] {
	return Stream[K2, V2]{connect(s.port, n, make, given...)}
}

// connect is operator between ports. Tables use it: a Stream of changes would be a type that contains itself.
func connect[K, V, K2, V2 any](from *port[K, V], n graph.Node,
	make func(b *build, node *engine.Node, next receive[K2, V2]) (receive[K, V], error), given ...argument,
) *port[K2, V2] {
	added := from.add(n)
	from.topology.needs(added, given...)
	out := newPort[K2, V2](from.topology, added)
	out.rekeyed = from.rekeyed
	from.feed(func(b *build) (receive[K, V], error) {
		next, err := out.receiver(b)
		if err != nil {
			return nil, err
		}
		return make(b, b.site.Node(added.Name), next)
	})
	return out
}

// add adds a node behind the port.
func (p *port[K, V]) add(n graph.Node) *graph.Node {
	topology := p.of()
	n.Kind = graph.Operation
	n.Parents, n.Edge = []*graph.Node{p.node}, p.edge
	return topology.node(n)
}

// add adds a node behind the stream.
func (s Stream[K, V]) add(n graph.Node) *graph.Node { return s.port.add(n) }

// rekeyed marks the stream as one whose keys are not in the partitions where they belong.
func (s Stream[K, V]) rekeyed() Stream[K, V] {
	s.port.rekeyed = s.port.node.Name
	return s
}
