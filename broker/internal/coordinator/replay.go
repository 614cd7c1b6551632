package coordinator

import (
	"context"
	"fmt"
	"io"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

const (
	// replayBytes is how much of the log is read at once.
	replayBytes = 1 << 20
	// replayBatchBytesMax bounds what one compressed batch may decompress to. The broker writes none, but a log that
	// was copied from elsewhere may have them.
	replayBatchBytesMax = 256 << 20
)

// replay applies the partition's committed records and returns how many there were.
func (s *Shard[M]) replay(ctx context.Context) (records int, err error) {
	from := s.partition.Offsets().LogStart
	var buffer []byte
	var reader record.Reader
	for {
		if err := ctx.Err(); err != nil {
			return records, err
		}
		r, _, err := s.partition.Read(from, replayBytes, true, partition.ReadUncommitted)
		if err != nil {
			return records, err
		}
		if r == nil {
			s.next = from
			return records, nil
		}
		from = r.NextOffset()
		if buffer, err = readRange(r, buffer); err != nil {
			return records, err
		}
		count, err := s.replayBatches(buffer, &reader)
		records += count
		if err != nil {
			return records, err
		}
	}
}

// readRange reads r into buffer, which it makes larger if need be, and releases r.
func readRange(r *log.Range, buffer []byte) ([]byte, error) {
	defer r.Release()
	if cap(buffer) < r.Size() {
		buffer = make([]byte, r.Size())
	}
	buffer = buffer[:r.Size()]
	if n, err := r.ReadAt(buffer, 0); n < len(buffer) {
		return nil, fmt.Errorf("read %d bytes of the log, got %d: %w", len(buffer), n, orUnexpected(err))
	}
	return buffer, nil
}

func orUnexpected(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *Shard[M]) replayBatches(buffer []byte, reader *record.Reader) (records int, err error) {
	for len(buffer) > 0 {
		batch, rest, err := record.Next(buffer)
		if err != nil {
			return records, err
		}
		buffer = rest
		if err := batch.CheckCRC(); err != nil {
			return records, fmt.Errorf("batch at offset %d: %w", batch.BaseOffset(), err)
		}
		if batch.IsControl() {
			err = s.replayControl(batch)
		} else {
			err = s.replayBatch(batch, reader)
		}
		if err != nil {
			return records, err
		}
		records += int(batch.Count())
	}
	return records, nil
}

// replayControl hands the end of a transaction to a machine that has a use for it.
func (s *Shard[M]) replayControl(batch record.Batch) error {
	transactional, ok := any(s.machine).(Transactional)
	if !ok || batch.Count() == 0 {
		return nil // without a record it is what compaction has left of one
	}
	switch controlType, err := batch.ControlType(); {
	case err != nil:
		return err
	case controlType != record.ControlAbort && controlType != record.ControlCommit:
		return nil
	}
	marker, err := batch.ParseEndTxnMarker()
	if err != nil {
		return err
	}
	if err := transactional.ReplayMarker(marker); err != nil {
		return fmt.Errorf("marker at offset %d: %w", batch.BaseOffset(), err)
	}
	return nil
}

func (s *Shard[M]) replayBatch(batch record.Batch, reader *record.Reader) error {
	replay := s.machine.Replay
	if transactional, ok := any(s.machine).(Transactional); ok && batch.IsTransactional() {
		replay = func(key, value []byte) error {
			return transactional.ReplayTransactional(batch.ProducerID(), key, value)
		}
	}
	if err := reader.Reset(batch, replayBatchBytesMax); err != nil {
		return err
	}
	for reader.Next() {
		r := reader.Record()
		if err := replay(r.Key, r.Value); err != nil {
			return fmt.Errorf("record at offset %d: %w", reader.Offset(), err)
		}
	}
	return reader.Err()
}
