package partition

import (
	"fmt"

	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// Verification is the question whether a producer may open a transaction in a partition, from before the transaction
// coordinator is asked until the append (KIP-890). It is void once a marker of the producer is written, or a batch of a newer
// epoch asks: a produce that comes after its transaction was ended opens none that nobody would end.
// It belongs to the partition that it comes from; its fields are guarded by that one's append lock.
type Verification struct {
	epoch          int16
	lowestSequence int32 // of all that asked
	fromZero       bool
	sinceMs        int64 // when Maintain first saw it; 0: it has not
}

// BeginVerification says whether the coordinator has to be asked before a batch of the producer is appended: with a nil
// verification it need not, since a transaction of this producer and epoch is open. Otherwise the verification goes with the
// batch to AppendInTransaction, if the coordinator agrees.
//
// baseSequence is the batch's, record.NoSequence for one without. Until the batch with the lowest sequence that asked is
// written, no later one is: its answer would not be retriable. fromZero says that each transaction of the producer has an
// epoch of its own, so that one whose state is not known begins with the sequence 0.
//
// Errors: ErrOffline, ErrFailed, ErrClosed; log.ErrInvalidProducerEpoch for an epoch that is older than the newest.
func (p *Partition) BeginVerification(producerID int64, epoch int16, baseSequence int32, fromZero bool) (*Verification, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	p.append.Lock()
	defer p.append.Unlock()
	known, ok := p.log.Producer(producerID)
	if ok {
		if err := checkEpoch(known, epoch); err != nil {
			return nil, p.errorf("verify a transaction in", err)
		}
		if epoch == known.Epoch && known.TxnStartOffset >= 0 {
			return nil, nil
		}
	}
	v := p.append.verifications[producerID]
	if v == nil || v.epoch < epoch {
		v = &Verification{epoch: epoch, lowestSequence: baseSequence, fromZero: fromZero}
		if p.append.verifications == nil {
			p.append.verifications = make(map[int64]*Verification)
		}
		p.append.verifications[producerID] = v
	}
	if v.epoch == epoch {
		v.lowestSequence = min(v.lowestSequence, baseSequence)
	}
	return v, nil
}

// EndVerification forgets v, which the coordinator has refused for good.
func (p *Partition) EndVerification(producerID int64, v *Verification) {
	p.append.Lock()
	defer p.append.Unlock()
	if p.append.verifications[producerID] == v {
		delete(p.append.verifications, producerID)
	}
}

// AppendInTransaction is Append for a batch of a transaction. Unless a transaction of its producer and epoch is open, v must be
// the verification that BeginVerification has returned for it, and still be in force; if not, the batch is
// log.ErrInvalidTxnState. The coordinator must have agreed.
func (p *Partition) AppendInTransaction(b record.Batch, nowMs int64, origin Origin, v *Verification) (log.Appended, error) {
	return p.appendBatch(b, writing{nowMs: nowMs, origin: origin, verification: v})
}

// CoordinatorEpoch is the highest coordinator epoch of the producer's markers here, -1 if there is none. A marker with a lower
// one is log.ErrCoordinatorFenced.
func (p *Partition) CoordinatorEpoch(producerID int64) int32 {
	if p.log == nil {
		return -1
	}
	known, ok := p.log.Producer(producerID)
	if !ok {
		return -1
	}
	return known.CoordinatorEpoch
}

// EndTransaction appends the marker that ends the producer's transaction, or fences older epochs if there is none. The records
// are decided once AwaitCommitted(LastOffset+1) returns nil. newEpochOnly refuses a marker whose epoch is that of the open
// transaction: each transaction of version 2 ends with a newer one (KIP-1228).
//
// Errors: ErrOffline, ErrFailed, ErrClosed; log.ErrInvalidProducerEpoch, log.ErrCoordinatorFenced; log.ErrFull.
func (p *Partition) EndTransaction(marker record.EndTxnMarker, newEpochOnly bool, nowMs int64) (log.Appended, error) {
	return p.appendBatch(marker.Batch(), writing{nowMs: nowMs, origin: Internal, trusted: true, newEpochOnly: newEpochOnly})
}

// Aborted returns the aborted transactions that have a record in [from, to), by their first offsets. to must not lie beyond the
// last stable offset. log.ErrOutOfRange: what begins at from has been deleted meanwhile, and with it what is known of it.
func (p *Partition) Aborted(from, to int64) ([]log.AbortedTransaction, error) {
	if err := p.readable(); err != nil {
		return nil, err
	}
	aborted, err := p.log.AbortedTransactions(from, to)
	if err != nil {
		return nil, p.errorf("find aborted transactions in", err)
	}
	if start := p.log.LogStartOffset(); from < start {
		return nil, p.errorf("find aborted transactions in", fmt.Errorf("%w: offset %d, log start %d", log.ErrOutOfRange, from, start))
	}
	return aborted, nil
}

// checkTransactionLocked refuses a batch of a transaction that is not open here and that the coordinator has not agreed to.
func (p *Partition) checkTransactionLocked(b record.Batch, v *Verification) error {
	id, epoch := b.ProducerID(), b.ProducerEpoch()
	known, ok := p.log.Producer(id)
	if ok {
		if err := checkEpoch(known, epoch); err != nil {
			return err
		}
		if known.TxnStartOffset >= 0 {
			if epoch == known.Epoch {
				return nil
			}
			// Its records would share the fate of the older epoch's.
			return fmt.Errorf("%w: producer %d sent epoch %d, its transaction of epoch %d is open since offset %d",
				log.ErrInvalidTxnState, id, epoch, known.Epoch, known.TxnStartOffset)
		}
	}
	switch first := b.BaseSequence(); {
	case v == nil || p.append.verifications[id] != v || v.epoch != epoch:
		return fmt.Errorf("%w: no transaction of producer %d epoch %d is open, and none may begin", log.ErrInvalidTxnState, id, epoch)
	case first > v.lowestSequence:
		return fmt.Errorf("%w: producer %d epoch %d sent sequence %d, and %d before that was not written",
			log.ErrOutOfOrderSequence, id, epoch, first, v.lowestSequence)
	case first > 0 && v.fromZero && !ok:
		return fmt.Errorf("%w: producer %d begins epoch %d with sequence %d", log.ErrOutOfOrderSequence, id, epoch, first)
	}
	return nil
}

func checkEpoch(known log.Producer, epoch int16) error {
	if epoch >= known.Epoch {
		return nil
	}
	return fmt.Errorf("%w: producer %d sent epoch %d, newest is %d", log.ErrInvalidProducerEpoch, known.ID, epoch, known.Epoch)
}

// expireVerifications forgets those whose append has not come for as long as an idle producer is remembered.
func (p *Partition) expireVerifications(nowMs int64) {
	expirationMs := p.config.Load().Log.ProducerExpirationMs
	p.append.Lock()
	defer p.append.Unlock()
	for id, v := range p.append.verifications {
		switch {
		case v.sinceMs == 0 || v.sinceMs > nowMs:
			v.sinceMs = nowMs
		case nowMs-v.sinceMs >= expirationMs:
			delete(p.append.verifications, id)
		}
	}
}
