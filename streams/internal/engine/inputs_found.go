package engine

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/consumer"
)

// inputFound is what there is of a partition that a task reads when it begins.
type inputFound struct {
	committed consumer.Offset
	at        int64 // where it is read from
	stableEnd int64
}

// LostOffsetsError is that the committed offsets of a task's input are of no use any more: records were deleted before they were
// processed, or the group's offsets have expired.
type LostOffsetsError struct {
	Partition consumer.TopicPartition
	Why       string
}

func (e *LostOffsetsError) Error() string {
	return fmt.Sprintf("input %v: %s. Nothing is processed until somebody decides: Config.OnLostOffsets = ContinueWhenLost goes on with what "+
		"is left, and keeps the stores; millrace streams reset begins anew", e.Partition, e.Why)
}

// Unwrap makes it an error of the broker's kind.
func (e *LostOffsetsError) Unwrap() error { return kerr.OffsetOutOfRange }

// findInputs asks where the partitions of a task are, and holds what is committed against it.
func (s *Shell) findInputs(ctx context.Context, l *lane) (found map[string]inputFound, err error) {
	err = patiently(ctx, s.logger, "look at the input", func() (err error) {
		found, err = s.askInputs(ctx, l)
		return err
	})
	return found, err
}

func (s *Shell) askInputs(ctx context.Context, l *lane) (map[string]inputFound, error) {
	var names, without []consumer.TopicPartition
	committed := map[consumer.TopicPartition]consumer.Offset{}
	for _, topic := range l.topics {
		p := l.partition(topic)
		names = append(names, p.TopicPartition)
		committed[p.TopicPartition] = p.Committed()
		if p.Committed().At < 0 {
			without = append(without, p.TopicPartition)
		}
	}
	if err := s.origins.resolve(ctx, without); err != nil {
		return nil, err
	}
	var bounds [stableEnd + 1]map[consumer.TopicPartition]int64
	for b := range bounds {
		var err error
		if bounds[b], err = listOffsets(ctx, s.client, bound(b), names); err != nil {
			return nil, err
		}
	}
	found := map[string]inputFound{}
	for _, p := range names {
		input := inputFound{committed: committed[p], at: committed[p].At, stableEnd: bounds[stableEnd][p]}
		start, end := bounds[logStart][p], bounds[logEnd][p]
		switch {
		case input.at < 0:
			input.at = s.origins.at(p)
		case input.at < start, input.at > end:
			lost := &LostOffsetsError{p, fmt.Sprintf("offset %d is committed, the partition has %d to %d", input.at, start, end)}
			if err := s.lost(lost); err != nil {
				return nil, err
			}
			input.at = start
		}
		found[p.Topic] = input
	}
	return found, nil
}

// lost decides about offsets that are of no use.
func (s *Shell) lost(lost *LostOffsetsError) error {
	if !s.options.ContinueWhenLost {
		return lost
	}
	s.event(fmt.Errorf("going on though records were lost: input %v: %s", lost.Partition, lost.Why))
	return nil
}

// checkState notices that the offsets of a task have expired while its stores have contents: processing everything again would
// count it twice. At least once, stores may be ahead of the first commit.
func (s *Shell) checkState(task *Task, inputs map[string]inputFound) error {
	if !s.options.ExactlyOnce || task.StoredCommit() == "" {
		return nil
	}
	var one consumer.TopicPartition
	for topic, input := range inputs {
		if input.committed.At >= 0 {
			return nil
		}
		one = consumer.TopicPartition{Topic: topic, Partition: task.site.id.Partition}
	}
	return s.lost(&LostOffsetsError{one, fmt.Sprintf("nothing is committed, but the stores of task %v have contents: "+
		"the group's offsets have expired or were deleted", task.site.id)})
}

// StoredCommit is not "" if the task's stores have contents: committed ones, or of their changelogs. It is asked before the first commit.
func (t *Task) StoredCommit() string {
	if t.site.db == nil {
		return ""
	}
	return t.site.db.Position().CommitID
}
