package engine

import (
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// doing is what a task is busy with, for whoever wonders why it takes so long. To note each record would cost as much as to process
// it: known is where the present slice began, and exactly what nodes are at whose functions may wait.
type doing struct {
	record atomic.Pointer[kgo.Record] // nil: nothing
	node   atomic.Pointer[Node]       // that has the record; nil: some node has this or one of the next records
}

func (d *doing) begin(record *kgo.Record) {
	d.node.Store(nil)
	d.record.Store(record)
}

func (d *doing) end() { d.record.Store(nil) }

// String says what is being done, "" for nothing.
func (d *doing) String() string {
	record, node := d.record.Load(), d.node.Load()
	switch {
	case record == nil:
		return ""
	case node == nil:
		return fmt.Sprintf("offset %d of %s-%d or one of the %d behind it", record.Offset, record.Topic, record.Partition, sliceRecordsMax-1)
	}
	return fmt.Sprintf("node %s, offset %d of %s-%d", node.Name, record.Offset, record.Topic, record.Partition)
}

// DiskWork is what a task does to its state directory, which takes as long as the disk does and which no context ends. The zero value is
// ready for use; it may be asked by other goroutines.
type DiskWork struct{ what atomic.Pointer[string] }

// do does something, of which String tells meanwhile. A nil DiskWork is of no task that anybody asks about.
func (d *DiskWork) do(what string, work func() error) error {
	if d == nil {
		return work()
	}
	d.what.Store(&what)
	defer d.what.Store(nil)
	return work()
}

// String says what is being done, "" for nothing.
func (d *DiskWork) String() string {
	if what := d.what.Load(); what != nil {
		return *what
	}
	return ""
}

// Wait notes that a node calls a function that may wait.
func (s *Site) Wait(n *Node, m *Meta) {
	if m.Source != nil {
		s.doing.record.Store(m.Source)
	}
	s.doing.node.Store(n)
}
