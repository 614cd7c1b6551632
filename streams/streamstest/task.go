package streamstest

import (
	"fmt"
	"path"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/streamstest/internal/cluster"
)

// task is a task of the engine and what it reads.
type task struct {
	*engine.Task
	id      engine.TaskID
	sources []*source // ordered by topic
}

// source is a partition of a topic that a task reads.
type source struct {
	name     cluster.Partition
	log      *cluster.Log
	position int64 // of what is read next
}

// open opens a task in this process: its state is brought up to date from the changelogs, its inputs go on where they were
// committed.
func (p *process) open(id engine.TaskID) (*task, error) {
	opened, err := p.openTask(id)
	if err != nil {
		return nil, err
	}
	t := &task{Task: opened, id: id}
	metadata := map[string]string{}
	for _, topic := range slices.Sorted(slices.Values(p.driver.subtopology(id.Subtopology).Sources)) {
		s, committed, err := p.driver.source(topic, id.Partition)
		if err != nil {
			return nil, closing(t, err)
		}
		if s != nil {
			t.sources = append(t.sources, s)
			metadata[s.name.Topic] = committed
		}
	}
	if err := t.Resume(metadata); err != nil {
		return nil, closing(t, err)
	}
	return t, nil
}

// source returns an input where the group has committed it, and what it has noted there; nil if the topic has no such partition.
func (d *Driver) source(topic string, partition int32) (s *source, metadata string, err error) {
	name := cluster.Partition{Topic: d.program.Graph.KafkaTopic(d.options.App, topic), Index: partition}
	if int(partition) >= d.partitionsOf(name.Topic) {
		return nil, "", nil
	}
	log, err := d.cluster.Log(name)
	if err != nil {
		return nil, "", err
	}
	if d.cluster.IsPending(name) {
		d.expireFrozen()
	}
	committed, found := d.cluster.Committed(name)
	switch {
	case !found && slices.Contains(d.program.FromEnd, topic):
		committed.At = log.End()
	case !found:
		committed.At = log.Start()
	}
	if committed.At < log.Start() || committed.At > log.End() {
		return nil, "", fmt.Errorf("input %v: committed offset %d, but offsets go from %d to %d: %w",
			name, committed.At, log.Start(), log.End(), kerr.OffsetOutOfRange)
	}
	return &source{name: name, log: log, position: committed.At}, committed.Metadata, nil
}

// stateOptions puts a task's stores where the application puts them.
func (p *process) stateOptions(id engine.TaskID) state.Options {
	o := p.driver.options
	return state.Options{
		Dir: path.Join(stateDir, o.App, id.String()), FS: p.disk.fs(),
		CacheBytes: o.CacheBytes, FlushBytes: o.FlushBytes, FlushRecords: o.FlushRecords, Logger: o.Logger,
	}
}

const stateDir = "state"

func (d *Driver) subtopology(name string) *engine.Subtopology {
	return d.program.Subtopologies[slices.IndexFunc(d.program.Subtopologies, func(s *engine.Subtopology) bool { return s.Name == name })]
}

// task returns the id of a task that there is.
func (d *Driver) task(subtopology string, partition int) engine.TaskID {
	d.t.Helper()
	id := engine.TaskID{Subtopology: subtopology, Partition: int32(partition)}
	if !slices.Contains(d.tasks(), id) {
		d.t.Fatalf("no task %v: there are %v", id, d.tasks())
	}
	return id
}

// closing closes a task that could not be opened.
func closing(t *task, cause error) error {
	if err := t.Close(); err != nil {
		return fmt.Errorf("%w (and then: %w)", cause, err)
	}
	return cause
}
