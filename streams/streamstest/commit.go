package streamstest

import (
	"fmt"

	"github.com/millrace/millrace/streams/internal/engine"
	"github.com/millrace/millrace/streams/streamstest/internal/cluster"
)

// commit is where a process is in a commit. The steps are those of production: changelog and output, offsets, the end of the
// transaction, and only then the local state.
type commit struct {
	next    int // step; 0: no commit is under way
	offsets map[cluster.Partition]cluster.Offset
	applied int // tasks that have taken over what is committed
}

// commit commits what all tasks of the process have done. After a freeze it goes on where it was.
func (p *process) commit() error {
	steps := []func() error{p.prepare, p.sendOffsets, p.endTransaction, p.apply}
	for p.committing.next < len(steps) {
		if err := steps[p.committing.next](); err != nil {
			return err
		}
	}
	p.committing = commit{}
	p.active, p.taken = false, 0
	p.reuse()
	return p.reach(Applied)
}

func (p *process) prepare() error {
	p.committing.offsets = map[cluster.Partition]cluster.Offset{}
	for _, t := range p.tasks {
		offsets, err := t.Prepare(background)
		if err != nil {
			return err
		}
		for _, s := range t.sources {
			offset := offsets[s.name.Topic]
			if offset.At < 0 {
				offset.At = s.position // nothing was read yet: what was committed stays
			}
			p.committing.offsets[s.name] = cluster.Offset{At: offset.At, Metadata: offset.Metadata}
		}
	}
	p.committing.next++
	return p.reach(Prepared)
}

func (p *process) sendOffsets() error {
	if err := p.producer.CommitOffsets(p.generation, p.committing.offsets); err != nil {
		return err
	}
	p.committing.next++
	return p.reach(OffsetsSent)
}

// endTransaction commits the transaction. Without an answer it finds out what became of it.
func (p *process) endTransaction() error {
	switch p.fault(OffsetsSent, requestIsLost, answerIsLost) {
	case requestIsLost:
		return p.resolve()
	case answerIsLost:
		if err := p.producer.Commit(); err != nil {
			return err
		}
		return p.resolve()
	}
	if err := p.producer.Commit(); err != nil {
		return err
	}
	p.committing.next++
	return p.reach(Decided)
}

// resolve ends the transaction whatever its state is, and compares what is committed with what was to be.
func (p *process) resolve() error {
	p.producer = p.newProducer()
	for partition, offset := range p.committing.offsets {
		committed, _ := p.driver.cluster.Committed(partition)
		if engine.CommitID(committed.Metadata) != engine.CommitID(offset.Metadata) {
			return errAborted
		}
	}
	p.committing.next++
	return p.reach(Decided)
}

func (p *process) apply() error {
	for p.committing.applied < len(p.tasks) {
		t := p.tasks[p.committing.applied]
		if err := t.Committed(background); err != nil {
			return fmt.Errorf("task %v: %w", t.id, err)
		}
		p.committing.applied++
		if p.committing.applied == 1 {
			if err := p.reach(Applying); err != nil {
				return err
			}
		}
	}
	p.committing.next++
	return nil
}
