package partition

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// Isolation bounds a read (isolation.level).
type Isolation int8

const (
	ReadUncommitted Isolation = iota // up to the high watermark
	ReadCommitted                    // up to the last stable offset
)

// End is the offset that a consumer with this isolation reads up to.
func (o Offsets) End(i Isolation) int64 {
	if i == ReadCommitted {
		return o.LastStable
	}
	return o.HighWatermark
}

// Read returns whole batches of one segment, the first of which contains offset from, and the partition's numbers by
// which the read was bounded. The range holds at most maxBytes; atLeastOne lets the first batch pass that bound.
// A nil range means that there is nothing to read at from yet, or nothing that maxBytes lets pass.
// The caller releases the range. Offsets below the log start and above the log end are log.ErrOutOfRange; those that a
// Scrub has found damaged are ErrDamaged.
func (p *Partition) Read(from int64, maxBytes int, atLeastOne bool, isolation Isolation) (*log.Range, Offsets, error) {
	if err := p.readable(); err != nil {
		return nil, Offsets{}, err
	}
	offsets := p.Offsets()
	if from < offsets.LogStart || from > offsets.LogEnd {
		return nil, offsets, p.errorf("read", fmt.Errorf("%w: offset %d is not in [%d, %d]",
			log.ErrOutOfRange, from, offsets.LogStart, offsets.LogEnd))
	}
	end := offsets.End(isolation)
	if from >= end || maxBytes <= 0 && !atLeastOne {
		return nil, offsets, nil
	}
	end, err := p.soundEnd(from, end)
	if err != nil {
		return nil, offsets, err
	}
	r, err := p.log.Read(from, end, maxBytes, atLeastOne)
	if err != nil {
		return nil, offsets, p.errorf("read", err)
	}
	return r, offsets, nil
}

// readable is nil unless the partition is offline or closed; one whose sync has failed can be read.
func (p *Partition) readable() error {
	if p.log == nil {
		return p.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return p.errorf("read", ErrClosed)
	}
	return nil
}

// EndOffsetForEpoch returns the largest epoch in the log that is not above epoch, and where it ends. The end of the
// latest epoch is the log end. The epoch is -1 if there is none (KIP-279).
func (p *Partition) EndOffsetForEpoch(epoch int32) (found int32, endOffset int64, err error) {
	if err := p.readable(); err != nil {
		return -1, -1, err
	}
	if epoch == p.options.LeaderEpoch {
		return epoch, p.Offsets().LogEnd, nil
	}
	if latest := p.log.LatestEpoch(); epoch > latest && epoch < p.options.LeaderEpoch {
		// An epoch in which nothing was written ends where the present one begins. Kafka notes the beginning of
		// an epoch without a record in it, and answers the same.
		if latest < 0 {
			latest = epoch
		}
		return latest, p.Offsets().LogEnd, nil
	}
	found, endOffset = p.log.EndOffsetForEpoch(epoch)
	return found, endOffset, nil
}

// LatestEpoch is the epoch of the last batch, -1 for a log that never had one.
func (p *Partition) LatestEpoch() int32 {
	if p.log == nil {
		return -1
	}
	return p.log.LatestEpoch()
}

// DeleteRecords moves the log start to offset, or to the high watermark if offset is -1, and returns the log start,
// which is durable then. An offset below the log start changes nothing. Beyond the high watermark is ErrOffsetRange;
// a topic whose cleanup policy does not delete is ErrPolicy (KIP-107).
func (p *Partition) DeleteRecords(ctx context.Context, offset int64) (logStart int64, err error) {
	if err := p.Err(); err != nil {
		return -1, err
	}
	if !p.config.Load().Log.DeleteOldSegments {
		return -1, p.errorf("delete records of", ErrPolicy)
	}
	offsets := p.Offsets()
	if offset == -1 {
		offset = offsets.HighWatermark
	}
	if offset < 0 || offset > offsets.HighWatermark {
		return -1, p.errorf("delete records of", fmt.Errorf("%w: %d, high watermark %d",
			ErrOffsetRange, offset, offsets.HighWatermark))
	}
	if offset <= offsets.LogStart {
		return offsets.LogStart, nil
	}
	if err := ctx.Err(); err != nil {
		return -1, err
	}
	return p.deleteBefore(offset)
}

func (p *Partition) deleteBefore(offset int64) (int64, error) {
	err := p.log.DeleteBefore(offset)
	// With flush=interval and os the log may have had to sync first.
	durable := p.log.DurableOffset()
	if err == nil || errors.Is(err, log.ErrFailed) {
		p.mu.Lock()
		p.syncedLocked(durable, err)
		p.mu.Unlock()
	}
	if err != nil {
		return -1, p.errorf("delete records of", err)
	}
	return p.startMoved(), nil
}

// startMoved takes over the log's start and tells the long polls.
func (p *Partition) startMoved() int64 {
	start := p.log.LogStartOffset()
	p.mu.Lock()
	defer p.mu.Unlock()
	if start > p.mu.logStart {
		p.mu.logStart = start
		p.stabilizeLocked()
		p.assertLocked()
		p.pokeAllLocked()
	}
	return p.mu.logStart
}

// Find answers a query of ListOffsets: what timestampMs stands for if it is negative (KIP-79, KIP-734, KIP-405, KIP-1023), else
// the first record that is at least as young. -1 in each field is "no such record". Nothing beyond the isolation's
// end is found.
func (p *Partition) Find(timestampMs int64, isolation Isolation) (log.Found, error) {
	none := log.Found{Offset: -1, TimestampMs: -1, LeaderEpoch: -1}
	if err := p.readable(); err != nil {
		return none, err
	}
	offsets := p.Offsets()
	switch timestampMs {
	case latest:
		return log.Found{Offset: offsets.End(isolation), TimestampMs: -1, LeaderEpoch: p.options.LeaderEpoch}, nil
	case earliest, earliestLocal:
		epoch, err := p.epochAt(offsets.LogStart)
		return log.Found{Offset: offsets.LogStart, TimestampMs: -1, LeaderEpoch: epoch}, err
	case latestTiered, pendingUpload:
		return none, nil
	}
	var found log.Found
	var ok bool
	err := lookups.run(func() (err error) {
		if timestampMs == maxTimestamp {
			found, ok, err = p.log.MaxTimestamp()
		} else {
			found, ok, err = p.log.OffsetForTimestamp(timestampMs)
		}
		return err
	})
	if err != nil {
		return none, p.errorf("find offset in", err)
	}
	if !ok || found.Offset >= offsets.End(isolation) {
		return none, nil
	}
	return found, nil
}

// Negative timestamps of ListOffsets.
const (
	latest        = -1
	earliest      = -2
	maxTimestamp  = -3
	earliestLocal = -4
	latestTiered  = -5
	pendingUpload = -6
)

// epochAt is the leader epoch of the batch at an offset; where there is none yet, the present one, and -1 where the batch
// is damaged.
func (p *Partition) epochAt(offset int64) (int32, error) {
	r, _, err := p.Read(offset, 0, true, ReadUncommitted)
	if errors.Is(err, ErrDamaged) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if r == nil {
		return p.options.LeaderEpoch, nil
	}
	defer r.Release()
	var header [record.HeaderSize]byte
	if _, err := r.File().ReadAt(header[:], r.Position()); err != nil {
		return -1, p.errorf("read", err)
	}
	return record.Batch(header[:]).PartitionLeaderEpoch(), nil
}

// Producers are the idempotent producers that the partition remembers, in no order.
func (p *Partition) Producers() ([]log.Producer, error) {
	if err := p.readable(); err != nil {
		return nil, err
	}
	return p.log.Producers(), nil
}
