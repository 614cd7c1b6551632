package coordinator

import (
	"fmt"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log/record"
)

// Transaction says of which producer's transaction records are.
type Transaction struct {
	ProducerID    int64
	ProducerEpoch int16
}

// append writes records as one batch at the end of the partition.
func (s *Shard[M]) append(wallMs int64, records []record.Record) error {
	s.builder.Options = record.Options{}
	return s.appendRecords(wallMs, records)
}

// appendTransactional writes records as one batch of a transaction. The batch has no sequence: who repeats a request
// writes its records again, with the same outcome.
func (s *Shard[M]) appendTransactional(by Transaction, wallMs int64, records []record.Record) error {
	s.builder.Options = record.Options{
		Producer:      &record.Producer{ID: by.ProducerID, Epoch: by.ProducerEpoch, BaseSequence: record.NoSequence},
		Transactional: true,
	}
	return s.appendRecords(wallMs, records)
}

func (s *Shard[M]) appendRecords(wallMs int64, records []record.Record) error {
	s.builder.Reset()
	for i := range records {
		s.builder.Add(wallMs, records[i].Key, records[i].Value)
	}
	batch, err := s.builder.Build()
	if err != nil {
		return fmt.Errorf("build batch of %d records: %w", len(records), err)
	}
	return s.appendBatch(batch, wallMs)
}

// appendMarker writes the end of a producer's transaction.
func (s *Shard[M]) appendMarker(marker record.EndTxnMarker) error {
	return s.appendBatch(marker.Batch(), marker.TimestampMs)
}

func (s *Shard[M]) appendBatch(batch record.Batch, wallMs int64) error {
	appended, err := s.partition.Append(batch, wallMs, partition.Internal)
	if err != nil {
		return err
	}
	s.next = appended.LastOffset + 1
	return nil
}
