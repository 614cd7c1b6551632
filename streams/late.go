package streams

import (
	"errors"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/internal/graph"
)

// lateRecords is where the records go that windows do not take. All forms of one Windowed share it, so that Late may be called
// before the operator is described as well as behind it.
type lateRecords[K, V any] struct {
	of    *port[K, V] // the records that come to the windows
	port  *port[K, V] // nil: nobody has asked for the late ones
	owner *graph.Node // the first operator on these windows: others would have the same late records. nil: none yet
}

// stream returns the late records.
func (l *lateRecords[K, V]) stream() Stream[K, V] {
	if l == nil {
		panic("streams: Late is called on zero windows: call Window or Sessions first")
	}
	if l.port == nil {
		t := l.of.of()
		node := t.node(graph.Node{Name: t.free("late"), Kind: graph.Operation, Operator: "late", Edge: "late",
			Parents: []*graph.Node{l.of.node}})
		l.port = newPort[K, V](t, node)
		t.checks = append(t.checks, l.check)
		l.connect()
	}
	return Stream[K, V]{l.port}
}

// from names the operator whose late records these are.
func (l *lateRecords[K, V]) from(owner *graph.Node) {
	if l.owner == nil {
		l.owner = owner
		l.connect()
	}
}

func (l *lateRecords[K, V]) connect() {
	if l.port != nil && l.owner != nil {
		node := l.port.node
		node.Name, node.Parents = l.of.of().free(l.owner.Name+"-late"), []*graph.Node{l.owner}
	}
}

func (l *lateRecords[K, V]) check() error {
	if l.owner != nil {
		return nil
	}
	return errors.New("node " + l.port.node.Name + ": nothing is late, since nothing puts these windows together: " +
		"call Count, Reduce or an Aggregate function on what Late was called on")
}

// receiver makes what takes the late records of an operator in one task.
func (l *lateRecords[K, V]) receiver(b *build, operator *graph.Node) (receive[K, V], error) {
	if l.port == nil || l.owner != operator {
		return func(K, V, *engine.Meta) error { return nil }, nil
	}
	next, err := l.port.receiver(b)
	if err != nil {
		return nil, err
	}
	node := b.site.Node(l.port.node.Name)
	return func(key K, value V, m *engine.Meta) error {
		m.Enter(node)
		node.Emitted++
		return next(key, value, m)
	}, nil
}
