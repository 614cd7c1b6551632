package consumer

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Poison decides about a record that cannot be decoded, and why: nil leaves it out, an error is one of Process. It is called by
// several goroutines, and again for a batch that is tried again.
type Poison func(ctx context.Context, p *Partition, record *kgo.Record, cause error) error

// FailOnPoison is the Poison that leaves nothing out.
func FailOnPoison(_ context.Context, p *Partition, record *kgo.Record, cause error) error {
	return fmt.Errorf("offset %d of %v cannot be decoded: %w", record.Offset, p.TopicPartition, cause)
}

// SkipPoison returns a Poison that leaves records out and tells of each, so that they can be counted.
func SkipPoison(tell func(record *kgo.Record, cause error)) Poison {
	return func(_ context.Context, _ *Partition, record *kgo.Record, cause error) error {
		tell(record, cause)
		return nil
	}
}

// Headers that a dead letter has besides those of the record.
const (
	DeadLetterCause     = "millrace.dead-letter.cause"
	DeadLetterTopic     = "millrace.dead-letter.topic"
	DeadLetterPartition = "millrace.dead-letter.partition"
	DeadLetterOffset    = "millrace.dead-letter.offset"
)

// DeadLetters returns a Poison that produces records, as they are, to a topic, with headers that say where they came from and
// what is wrong with them. As all that is produced they are part of the transaction, or acknowledged before the offset is
// committed.
func DeadLetters(topic string) Poison {
	return func(ctx context.Context, p *Partition, record *kgo.Record, cause error) error {
		return p.Produce(ctx, &kgo.Record{
			Topic: topic, Key: record.Key, Value: record.Value, Timestamp: record.Timestamp,
			Headers: append(slices.Clone(record.Headers),
				kgo.RecordHeader{Key: DeadLetterCause, Value: []byte(cause.Error())},
				kgo.RecordHeader{Key: DeadLetterTopic, Value: []byte(record.Topic)},
				kgo.RecordHeader{Key: DeadLetterPartition, Value: strconv.AppendInt(nil, int64(record.Partition), 10)},
				kgo.RecordHeader{Key: DeadLetterOffset, Value: strconv.AppendInt(nil, record.Offset, 10)}),
		})
	}
}
