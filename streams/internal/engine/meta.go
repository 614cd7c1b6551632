package engine

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Meta goes along with a key and a value on their way through a task. Who changes it for those behind it puts it back.
type Meta struct {
	TimestampMs    int64
	Headers        []kgo.RecordHeader // shared: never changed in place
	Source         *kgo.Record        // the input record that this came of; nil if none did, as from a timer
	Maker          *Node              // who has made it without one; nil if Source is set
	NoKey, NoValue bool               // the key, the value is missing: its typed form is the zero value

	// At is the node that has the record now. It is who is to blame when a user's function panics.
	At *Node
}

// Enter notes that a record has come to a node.
func (m *Meta) Enter(n *Node) {
	m.At = n
	n.Processed++
	n.lastMs = m.TimestampMs
}

// Node is one step of a topology in one task.
type Node struct {
	*NodeCounters
	Name string
}

// NodeError is a record that could not be processed, and where.
type NodeError struct {
	Node      string
	Topic     string // "" if no input record is to blame, as for a timer
	Partition int32
	Offset    int64
	Err       error // a *consumer.PanicError for a panic
}

// Error says where and why.
func (e *NodeError) Error() string {
	if e.Topic == "" {
		return fmt.Sprintf("node %s: %v", e.Node, e.Err)
	}
	return fmt.Sprintf("node %s, offset %d of %s-%d: %v", e.Node, e.Offset, e.Topic, e.Partition, e.Err)
}

// Unwrap returns the cause.
func (e *NodeError) Unwrap() error { return e.Err }

// failure is an error of a node about the record that it has.
func (n *Node) failure(m *Meta, cause error) *NodeError {
	e := &NodeError{Node: n.Name, Err: cause}
	if m.Source != nil {
		e.Topic, e.Partition, e.Offset = m.Source.Topic, m.Source.Partition, m.Source.Offset
	}
	return e
}
