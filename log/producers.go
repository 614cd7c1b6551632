package log

import (
	"fmt"
	"math"

	"github.com/millrace/millrace/log/record"
)

// dedupeWindow is how many of a producer's last batches are remembered: as many as a client keeps in flight (KIP-98).
const dedupeWindow = 5

// producedBatch is what is remembered of one batch.
type producedBatch struct {
	firstSequence int32
	lastSequence  int32
	lastOffset    int64
	offsetDelta   int32 // last offset less first offset
	timestampMs   int64 // largest of the batch
}

// producerEntry is the state of one producer id.
type producerEntry struct {
	id               int64
	epoch            int16
	count            int8  // valid batches
	coordinatorEpoch int32 // of the newest marker, -1: none
	lastActiveMs     int64
	txnFirst         int64                       // first offset of the open transaction, noTransaction: none
	batches          [dedupeWindow]producedBatch // oldest first
}

// What an entry has before the first transaction.
const (
	noTransaction      int64 = -1
	noCoordinatorEpoch int32 = -1
)

func newProducerEntry(id int64, epoch int16) *producerEntry {
	return &producerEntry{id: id, epoch: epoch, coordinatorEpoch: noCoordinatorEpoch, txnFirst: noTransaction}
}

// open says whether the producer has an open transaction.
func (e *producerEntry) open() bool { return e.txnFirst != noTransaction }

func (e *producerEntry) newest() *producedBatch {
	if e.count == 0 {
		return nil
	}
	return &e.batches[e.count-1]
}

func (e *producerEntry) add(b producedBatch) {
	if e.count == dedupeWindow {
		copy(e.batches[:], e.batches[1:])
		e.count--
	}
	e.batches[e.count] = b
	e.count++
}

// producers is what a log knows of the producers that wrote to it and of their transactions: a pure fold over its batches,
// apart from expiry. It outlives the segments that it came from.
type producers struct {
	entries  map[int64]*producerEntry
	unstable *unstable
}

func newProducers() *producers {
	return &producers{entries: map[int64]*producerEntry{}, unstable: new(unstable)}
}

// check says what to do with a batch of a client: append it (nil, nil), answer with the batch that it repeats, or
// refuse it with ErrInvalidProducerEpoch, ErrOutOfOrderSequence or ErrInvalidTxnState. Source: Kafka's ProducerStateEntry
// and ProducerAppendInfo.
func (p *producers) check(b record.Batch) (repeated *producedBatch, err error) {
	id, epoch := b.ProducerID(), b.ProducerEpoch()
	if id < 0 || b.IsControl() {
		return nil, nil
	}
	e := p.entries[id]
	if e == nil {
		// Expired, or its records were deleted: whatever it sends is as good as a beginning (KIP-360).
		return nil, nil
	}
	first, last := b.BaseSequence(), b.LastSequence()
	if epoch == e.epoch {
		for i := range e.batches[:e.count] {
			if e.batches[i].firstSequence == first && e.batches[i].lastSequence == last {
				return &e.batches[i], nil
			}
		}
	}
	switch {
	case epoch < e.epoch:
		return nil, fmt.Errorf("%w: producer %d sent epoch %d, newest is %d", ErrInvalidProducerEpoch, id, epoch, e.epoch)
	case epoch > e.epoch:
		if first != 0 {
			return nil, fmt.Errorf("%w: producer %d begins epoch %d with sequence %d", ErrOutOfOrderSequence, id, epoch, first)
		}
	case first != e.nextSequence():
		return nil, fmt.Errorf("%w: producer %d epoch %d sent sequence %d, expected %d",
			ErrOutOfOrderSequence, id, epoch, first, e.nextSequence())
	}
	return nil, e.checkTransaction(b)
}

// nextSequence is the sequence that the producer must go on with in its epoch.
func (e *producerEntry) nextSequence() int32 {
	newest := e.newest()
	if newest == nil || newest.lastSequence == math.MaxInt32 {
		return 0
	}
	return newest.lastSequence + 1
}

// apply takes note of a batch that is in the log: of a control batch the whole, of others the header will do. If it ends a
// transaction by an abort, that is returned.
func (p *producers) apply(b record.Batch, nowMs int64) (aborted abortedEntry, ok bool) {
	id := b.ProducerID()
	if id < 0 {
		return aborted, false
	}
	e := p.entries[id]
	if e == nil {
		e = newProducerEntry(id, b.ProducerEpoch())
		p.entries[id] = e
	}
	if b.ProducerEpoch() != e.epoch {
		e.epoch, e.count = b.ProducerEpoch(), 0
	}
	e.lastActiveMs = nowMs
	if b.IsControl() {
		return p.applyMarker(e, b)
	}
	if b.IsTransactional() && !e.open() {
		e.txnFirst = b.BaseOffset()
		p.unstable.begin(e.txnFirst)
	}
	if b.BaseSequence() < 0 {
		return aborted, false
	}
	e.add(producedBatch{
		firstSequence: b.BaseSequence(),
		lastSequence:  b.LastSequence(),
		lastOffset:    b.LastOffset(),
		offsetDelta:   b.LastOffsetDelta(),
		timestampMs:   b.MaxTimestampMs(),
	})
	return aborted, false
}

// expire forgets who has been idle for expirationMs, unless a transaction is open, and returns how many that were.
func (p *producers) expire(nowMs, expirationMs int64) int {
	expired := 0
	for id, e := range p.entries {
		if nowMs-e.lastActiveMs >= expirationMs && !e.open() {
			delete(p.entries, id)
			expired++
		}
	}
	return expired
}

// Producer is the state of one idempotent producer, as DescribeProducers shows it (KIP-664).
type Producer struct {
	ID              int64
	Epoch           int16
	LastSequence    int32 // -1: none in this epoch
	LastTimestampMs int64 // of its newest batch, -1: none

	CoordinatorEpoch int32 // of the coordinator that last ended a transaction, -1: none
	TxnStartOffset   int64 // first offset of the open transaction, -1: none
}

// all returns every producer in no order.
func (p *producers) all() []Producer {
	list := make([]Producer, 0, len(p.entries))
	for _, e := range p.entries {
		list = append(list, e.view())
	}
	return list
}

func (e *producerEntry) view() Producer {
	view := Producer{ID: e.id, Epoch: e.epoch, LastSequence: -1, LastTimestampMs: -1,
		CoordinatorEpoch: e.coordinatorEpoch, TxnStartOffset: e.txnFirst}
	if newest := e.newest(); newest != nil {
		view.LastSequence, view.LastTimestampMs = newest.lastSequence, newest.timestampMs
	}
	return view
}
