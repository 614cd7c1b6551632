package engine

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
)

// Policy is what becomes of a record that a node cannot process. The zero value fails the task.
type Policy struct {
	Skip        bool   // leave the record out
	DeadLetters string // leave it out, and write it to this topic
}

// DeadLetterNode is the header of a dead letter that names the node, beside those that consumer defines.
const DeadLetterNode = "millrace.dead-letter.node"

// Reject does with a record what the policy says, and counts it if it is left out. The error is what the operator returns. It is
// the cause itself, whatever the policy, if the record is not to blame: the stores failed, or the task may work no longer.
func (s *Site) Reject(n *Node, policy Policy, reason Reason, cause error, m *Meta) error {
	switch {
	case isOfStores(cause) || s.ctx.Err() != nil && errors.Is(cause, s.ctx.Err()):
		return fmt.Errorf("node %s: %w", n.Name, cause)
	case policy.DeadLetters != "":
		if m.Source == nil {
			return n.failure(m, fmt.Errorf("no input record that could become a dead letter: %w", cause))
		}
		n.Drop(reason)
		return s.deadLetter(n, policy.DeadLetters, cause, m)
	case policy.Skip:
		n.Drop(reason)
		return nil
	default:
		return n.failure(m, cause)
	}
}

func isOfStores(err error) bool {
	return errors.Is(err, state.ErrBroken) || errors.Is(err, state.ErrDamaged) || errors.Is(err, state.ErrClosed)
}

// deadLetter writes the input record as it came, with headers that say where from and what is wrong with it.
func (s *Site) deadLetter(n *Node, topic string, cause error, m *Meta) error {
	source := m.Source
	record := s.outbox.record()
	record.Topic, record.Key, record.Value, record.Timestamp = topic, source.Key, source.Value, source.Timestamp
	record.Headers = append(slices.Clone(source.Headers),
		kgo.RecordHeader{Key: consumer.DeadLetterCause, Value: []byte(cause.Error())},
		kgo.RecordHeader{Key: consumer.DeadLetterTopic, Value: []byte(source.Topic)},
		kgo.RecordHeader{Key: consumer.DeadLetterPartition, Value: strconv.AppendInt(nil, int64(source.Partition), 10)},
		kgo.RecordHeader{Key: consumer.DeadLetterOffset, Value: strconv.AppendInt(nil, source.Offset, 10)},
		kgo.RecordHeader{Key: DeadLetterNode, Value: []byte(n.Name)})
	record.Partition = spread(source.Key, source, s.environment.PartitionsOf(topic))
	if size, most := sizeOf(record), s.recordBytesMax(topic); size > most {
		return n.failure(m, fmt.Errorf("the dead letter for topic %s has %d bytes, of at most %d: %w", topic, size, most, cause))
	}
	s.outbox.add(record)
	return nil
}
