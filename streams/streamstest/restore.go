package streamstest

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/streamstest/internal/cluster"
)

const (
	restoreBatch = 1000 // records of a changelog that a task gets at a time
	// deleteRetentionMs is how long topics keep deletions: Kafka's default of delete.retention.ms.
	deleteRetentionMs = 24 * 60 * 60 * 1000
)

// openTask opens a task of the engine with its state brought up to date from the changelogs. State that is of no use is wiped.
func (p *process) openTask(id engine.TaskID) (*engine.Task, error) {
	environment := p.environment(id)
	t, err := engine.OpenTask(p.driver.subtopology(id.Subtopology), id, environment)
	if err != nil {
		return nil, err
	}
	plan := engine.PlanRestore(t.Changelogs(), p.driver.found(t.Changelogs()), writtenMs(t), p.driver.now.UnixMilli())
	if plan.Wipe != "" {
		p.driver.options.Logger.Warn("state is wiped and restored from zero", "task", id, "why", plan.Wipe)
		if err := errors.Join(t.Close(), environment.State.FS.RemoveAll(environment.State.Dir)); err != nil {
			return nil, err
		}
		p.driver.wiped = append(p.driver.wiped, plan.Wipe)
		if t, err = engine.OpenTask(p.driver.subtopology(id.Subtopology), id, environment); err != nil {
			return nil, err
		}
	}
	if err := p.driver.restore(t, plan); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// writtenMs returns when the task's stores were last written; 0 if they never were.
func writtenMs(t *engine.Task) int64 {
	if t.DB() == nil {
		return 0
	}
	return t.DB().Position().WrittenMs
}

// found returns what changelogs are now.
func (d *Driver) found(changelogs []engine.Changelog) map[string]engine.ChangelogFound {
	found := map[string]engine.ChangelogFound{}
	for _, c := range changelogs {
		topic := d.cluster.Topic(c.Topic)
		if topic == nil {
			continue // the restore will say so
		}
		log := topic.Partitions[c.Partition]
		if log.Stable() < log.End() {
			d.expireFrozen()
		}
		found[c.Store] = engine.ChangelogFound{TopicID: topic.ID, Start: log.Start(), End: log.End(), DeleteRetentionMs: deleteRetentionMs}
	}
	return found
}

func (d *Driver) restore(t *engine.Task, plan engine.RestorePlan) error {
	reached := map[string]state.Changelog{}
	for _, span := range plan.Spans {
		name := cluster.Partition{Topic: span.Topic, Index: span.Partition}
		log, err := d.cluster.Log(name)
		if err != nil {
			return fmt.Errorf("changelog %v: %w", name, err)
		}
		position := span.From
		for position < span.To {
			records, next, err := log.Read(position, restoreBatch)
			if err != nil {
				return fmt.Errorf("changelog %v: %w", name, err)
			}
			if next == position {
				return fmt.Errorf("changelog %v: a transaction is open at offset %d: two processes have the task", name, position)
			}
			if err := t.Restore(span.Store, copies(records)); err != nil {
				return err
			}
			d.restored += len(records)
			position = next
		}
		reached[span.Store] = state.Changelog{TopicID: span.TopicID, NextOffset: position}
	}
	return t.RestoreDone(reached)
}

// expire lets the coordinator lose patience with processes that stand still, if tasks wait for the end of their transactions.
func (d *Driver) expire() (expired bool) {
	for _, p := range d.processes {
		for _, t := range p.tasks {
			for _, s := range t.sources {
				stable := s.log.Stable()
				if !p.running() || stable == s.log.End() {
					continue
				}
				if d.expireFrozen(); s.log.Stable() > stable {
					return true
				}
			}
		}
	}
	return false
}

// expireFrozen ends the transactions that processes hold open which stand still: the coordinator does so after a while, and who
// waits for what they hold up goes on then.
func (d *Driver) expireFrozen() {
	for _, p := range d.processes {
		if p.frozen {
			d.cluster.Expire(p.name)
		}
	}
}
