package consumer

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is a record with its key and value decoded.
type Record[K, V any] struct {
	Key   K
	Value V
	*kgo.Record
}

// Typed is a Handler whose Process is given decoded records.
type Typed[K, V any] struct {
	Key   Decoder[K] // needed
	Value Decoder[V] // needed
	// Process is what [Processor.Process] is, for the records of the batch that could be decoded; there is no call without
	// one. The slice is the partition's and valid until it returns.
	Process func(ctx context.Context, p *Partition, records []Record[K, V]) error
	// Poison decides about a record that cannot be decoded: nil leaves it out, an error is one of Process. A nil Poison fails.
	Poison Poison
}

// Assigned makes a partition's processor.
func (t Typed[K, V]) Assigned(context.Context, *Partition) (Processor, error) {
	if t.Poison == nil {
		t.Poison = FailOnPoison
	}
	return &typed[K, V]{Typed: t}, nil
}

// typed has one partition's records.
type typed[K, V any] struct {
	Typed[K, V]
	records []Record[K, V]
}

func (t *typed[K, V]) Process(ctx context.Context, batch *Batch) error {
	clear(t.records)
	t.records = t.records[:0]
	for _, raw := range batch.Records {
		record, err := t.decode(raw)
		if err == nil {
			t.records = append(t.records, record)
			continue
		}
		if err := t.Poison(ctx, batch.Partition, raw, err); err != nil {
			return err
		}
	}
	if len(t.records) == 0 {
		return nil
	}
	return t.Typed.Process(ctx, batch.Partition, t.records)
}

func (t *typed[K, V]) Revoked(context.Context, *Partition, Reason) error { return nil }

func (t *typed[K, V]) decode(raw *kgo.Record) (record Record[K, V], err error) {
	record.Record = raw
	if record.Key, err = t.Typed.Key(raw.Key); err != nil {
		return record, fmt.Errorf("key: %w", err)
	}
	if record.Value, err = t.Typed.Value(raw.Value); err != nil {
		return record, fmt.Errorf("value: %w", err)
	}
	return record, nil
}
