package partition

import (
	"errors"
	"time"

	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// Origin says who wrote a batch.
type Origin int8

const (
	Client   Origin = iota // a producer, which is trusted with nothing
	Internal               // the broker itself
)

// Append checks b and writes it to the end of the log. It is committed once AwaitCommitted(LastOffset+1) returns nil.
//
// b's base offset, leader epoch and, by the topic's setting, its timestamps are overwritten in place; b is the
// caller's again on return. A repeat of one of the producer's last five batches appends nothing and returns the
// first append's offsets with Duplicate set; they may not be committed yet.
//
// Errors: ErrOffline, ErrFailed, ErrClosed; for a batch that is refused record.ErrCorrupt, record.ErrCodec,
// record.ErrInvalid, record.ErrTimestamp, ErrTimestamp, *TooLargeError, ErrTransaction, log.ErrOutOfOrderSequence,
// log.ErrInvalidProducerEpoch; log.ErrFull for a full disk.
func (p *Partition) Append(b record.Batch, nowMs int64, origin Origin) (log.Appended, error) {
	if err := p.Err(); err != nil {
		return log.Appended{}, err
	}
	config := p.config.Load()
	if origin == Client {
		var err error
		if b, err = config.admit(b, nowMs); err != nil {
			return log.Appended{}, p.errorf("append to", err)
		}
	}
	appended, err := p.write(b, nowMs, origin)
	if err != nil {
		p.mu.Lock()
		if errors.Is(err, log.ErrFailed) {
			p.failLocked(err)
		}
		p.mu.Unlock()
		return log.Appended{}, p.errorf("append to", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.logEnd = max(p.mu.logEnd, appended.LastOffset+1)
	if config.Flush != FlushCommit {
		p.advanceLocked()
	}
	if p.syncDueLocked() {
		p.wakeCommitterLocked()
	}
	return appended, nil
}

// write appends under the append lock, the only one that is held across a disk write.
func (p *Partition) write(b record.Batch, nowMs int64, origin Origin) (log.Appended, error) {
	p.append.Lock()
	defer p.append.Unlock()
	begin := time.Now()
	appended, err := p.log.Append(b, log.AppendOptions{
		NowMs:       nowMs,
		LeaderEpoch: p.options.LeaderEpoch,
		Internal:    origin == Internal,
	})
	if err == nil && !appended.Duplicate && p.options.Appended != nil {
		p.options.Appended(len(b), int(b.Count()), time.Since(begin))
	}
	return appended, err
}
