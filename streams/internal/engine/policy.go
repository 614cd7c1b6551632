package engine

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/consumer"
	"github.com/millrace/millrace/state"
)

// Policy is what becomes of a record that a node cannot process. The zero value fails the task.
type Policy struct {
	Skip        bool   // leave the record out
	DeadLetters string // leave it out, and write it to this topic
}

// Headers of dead letters beside those that consumer defines.
const (
	// DeadLetterNode names the node that could not process the record.
	DeadLetterNode = "millrace.dead-letter.node"
	// DeadLetterMaker names the node that has made the record, of no input record: it replaces topic, partition and offset.
	DeadLetterMaker = "millrace.dead-letter.maker"
)

// Encode returns the key and the value of a record, each nil if it is missing or cannot be encoded. The bytes are the caller's.
type Encode func() (key, value []byte)

// Reject does with a record what the policy says, and counts it if it is left out. The error is what the operator returns. It is
// the cause itself, whatever the policy, if the record is not to blame: the stores failed, or the task may work no longer.
// encode is called for the dead letter of a record that came of no input record.
func (s *Site) Reject(n *Node, policy Policy, reason Reason, cause error, m *Meta, encode Encode) error {
	switch {
	case isOfStores(cause) || s.ctx.Err() != nil && errors.Is(cause, s.ctx.Err()):
		return fmt.Errorf("node %s: %w", n.Name, cause)
	case policy.DeadLetters != "":
		n.Drop(reason)
		letter := letterOf(m, encode)
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: consumer.DeadLetterCause, Value: []byte(cause.Error())},
			kgo.RecordHeader{Key: DeadLetterNode, Value: []byte(n.Name)})
		return s.deadLetter(n, policy.DeadLetters, letter, cause, m)
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

// letterOf returns what becomes a dead letter: the input record as it came, with headers that say where from; of a record that came
// of none, as the result of a window that closes, what it is itself, with a header that says who has made it.
func letterOf(m *Meta, encode Encode) kgo.Record {
	if source := m.Source; source != nil {
		return kgo.Record{Key: source.Key, Value: source.Value, Timestamp: source.Timestamp, Headers: append(slices.Clone(source.Headers),
			kgo.RecordHeader{Key: consumer.DeadLetterTopic, Value: []byte(source.Topic)},
			kgo.RecordHeader{Key: consumer.DeadLetterPartition, Value: strconv.AppendInt(nil, int64(source.Partition), 10)},
			kgo.RecordHeader{Key: consumer.DeadLetterOffset, Value: strconv.AppendInt(nil, source.Offset, 10)})}
	}
	key, value := encode()
	return kgo.Record{Key: key, Value: value, Timestamp: time.UnixMilli(m.TimestampMs),
		Headers: append(slices.Clone(m.Headers), kgo.RecordHeader{Key: DeadLetterMaker, Value: []byte(m.Maker.Name)})}
}

// deadLetter writes a letter. The value of one that came of no input record is left out if the topic does not take it: nobody could
// mend that, and the key says which it was.
func (s *Site) deadLetter(n *Node, topic string, letter kgo.Record, cause error, m *Meta) error {
	most := s.recordBytesMax(topic)
	if m.Source == nil && sizeOf(&letter) > most {
		letter.Value = nil
	}
	if size := sizeOf(&letter); size > most {
		return n.failure(m, fmt.Errorf("the dead letter for topic %s has %d bytes, of at most %d: %w", topic, size, most, cause))
	}
	letter.Topic, letter.Partition = topic, spread(letter.Key, m.Source, s.environment.PartitionsOf(topic))
	record := s.outbox.record()
	*record = letter
	s.outbox.add(record)
	return nil
}
