package engine

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/graph"
)

// Program is a topology that is ready to run.
type Program struct {
	Graph         *graph.Topology
	Subtopologies []*Subtopology
	FromEnd       []string // topics, as described, that begin at their end when nothing is committed
}

// Subtopology is a part of a program that runs in tasks, one for each partition of its topics.
type Subtopology struct {
	*graph.Subtopology
	Graph  *graph.Topology
	Stores []state.Spec

	// Build makes the operators of one task. It returns what takes the records of each source topic, by the name that the
	// topology has for it.
	Build func(*Site) (map[string]Input, error)
}

// Receiver decodes a record and pushes it through the operators. Its errors are *NodeError. The record stays the caller's.
type Receiver func(record *kgo.Record) error

// Input is what takes the records of one topic.
type Input struct {
	Receive Receiver
	// TimestampMs is the time by which a record waits for its turn among those of other topics; nil: the record's own.
	TimestampMs func(record *kgo.Record) int64
	// Keys is the codec of the records' keys, nil if that is of no use: see Site.OnAhead.
	Keys any
}

// TaskID names a task: it stays the same when the topology grows.
type TaskID struct {
	Subtopology string
	Partition   int32
}

// String is "<sub-topology>/<partition>", as the task's directory below the application's.
func (id TaskID) String() string { return fmt.Sprintf("%s/%d", id.Subtopology, id.Partition) }

// Environment is what a task needs of the world.
type Environment struct {
	App     string // prefix of internal topics
	Session string // makes commit ids of this process unlike those of any other
	State   state.Options
	Disk    *DiskWork // tells what is done to the state directory; nil: nobody wants to know
	// Produce takes records, whose Partition is set or -1. They, their bytes and the slice are the task's again after
	// Committed; by then the Offset of each has to be set to where it was appended. It may wait.
	Produce func(records ...*kgo.Record) error
	Now     func() time.Time
	// PartitionsOf returns the partition count of a topic in Kafka, 0 if it is not known.
	PartitionsOf func(topic string) int
	// RecordBytesMaxOf returns the size above which a topic in Kafka takes no record; nil: kgo's default, for all.
	RecordBytesMaxOf func(topic string) int
	Counters         *Counters
	Logger           *slog.Logger
}
