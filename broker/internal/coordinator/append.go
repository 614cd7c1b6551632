package coordinator

import (
	"fmt"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// Transaction says of which producer's transaction records are. Unless it is open in the partition, Verified must say that
// it may be opened there: see partition.BeginVerification.
type Transaction struct {
	ProducerID    int64
	ProducerEpoch int16
	Verified      *partition.Verification
}

// append writes records as one batch at the end of the partition.
func (s *Shard[M]) append(wallMs int64, records []record.Record) error {
	s.builder.Options = record.Options{}
	batch, err := s.build(wallMs, records)
	if err != nil {
		return err
	}
	return s.appended(s.partition.Append(batch, wallMs, partition.Internal))
}

// appendTransactional writes records as one batch of a transaction. The batch has no sequence: who repeats a request
// writes its records again, with the same outcome.
func (s *Shard[M]) appendTransactional(by Transaction, wallMs int64, records []record.Record) error {
	s.builder.Options = record.Options{
		Producer:      &record.Producer{ID: by.ProducerID, Epoch: by.ProducerEpoch, BaseSequence: record.NoSequence},
		Transactional: true,
	}
	batch, err := s.build(wallMs, records)
	if err != nil {
		return err
	}
	return s.appended(s.partition.AppendInTransaction(batch, wallMs, partition.Internal, by.Verified))
}

func (s *Shard[M]) build(wallMs int64, records []record.Record) (record.Batch, error) {
	s.builder.Reset()
	for i := range records {
		s.builder.Add(wallMs, records[i].Key, records[i].Value)
	}
	batch, err := s.builder.Build()
	if err != nil {
		return nil, fmt.Errorf("build batch of %d records: %w", len(records), err)
	}
	return batch, nil
}

// appendMarker writes the end of a producer's transaction.
func (s *Shard[M]) appendMarker(marker record.EndTxnMarker, newEpochOnly bool) error {
	return s.appended(s.partition.EndTransaction(marker, newEpochOnly, marker.TimestampMs))
}

// appended takes note of an append.
func (s *Shard[M]) appended(appended log.Appended, err error) error {
	if err != nil {
		return err
	}
	s.next = appended.LastOffset + 1
	return nil
}
