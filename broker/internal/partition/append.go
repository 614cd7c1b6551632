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
// record.ErrInvalid, record.ErrTimestamp, ErrTimestamp, *TooLargeError, log.ErrOutOfOrderSequence,
// log.ErrInvalidProducerEpoch; log.ErrInvalidTxnState for a batch outside its producer's open transaction, and for a client's
// that would open one (see AppendInTransaction); log.ErrFull for a full disk.
func (p *Partition) Append(b record.Batch, nowMs int64, origin Origin) (log.Appended, error) {
	return p.appendBatch(b, writing{nowMs: nowMs, origin: origin, trusted: origin == Internal})
}

// writing is what goes with a batch that is appended.
type writing struct {
	nowMs        int64
	origin       Origin
	trusted      bool          // it may open a transaction
	verification *Verification // that says whether it may; nil: it may not
	newEpochOnly bool          // for a marker
}

func (p *Partition) appendBatch(b record.Batch, w writing) (log.Appended, error) {
	if err := p.Err(); err != nil {
		return log.Appended{}, err
	}
	config := p.config.Load()
	if w.origin == Client {
		var err error
		if b, err = config.admit(b, w.nowMs); err != nil {
			return log.Appended{}, p.errorf("append to", err)
		}
	}
	appended, err := p.write(b, w)
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
func (p *Partition) write(b record.Batch, w writing) (log.Appended, error) {
	p.append.Lock()
	defer p.append.Unlock()
	if b.IsTransactional() && !w.trusted {
		if err := p.checkTransactionLocked(b, w.verification); err != nil {
			return log.Appended{}, err
		}
	}
	begin := time.Now()
	appended, err := p.log.Append(b, log.AppendOptions{
		NowMs:        w.nowMs,
		LeaderEpoch:  p.options.LeaderEpoch,
		Internal:     w.origin == Internal,
		NewEpochOnly: w.newEpochOnly,
	})
	if err != nil || appended.Duplicate {
		return appended, err
	}
	if b.IsTransactional() {
		// The transaction is open now, or over: what was asked before does not count any more.
		delete(p.append.verifications, b.ProducerID())
	}
	if p.options.Appended != nil {
		p.options.Appended(len(b), int(b.Count()), time.Since(begin))
	}
	return appended, nil
}
