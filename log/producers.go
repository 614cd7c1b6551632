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
	id           int64
	epoch        int16
	count        int8 // valid batches
	lastActiveMs int64
	batches      [dedupeWindow]producedBatch // oldest first
}

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

// producers is what a log knows of the idempotent producers that wrote to it: a pure fold over its batches, apart from
// expiry. It outlives the segments that it came from.
type producers struct {
	entries map[int64]*producerEntry
}

func newProducers() *producers { return &producers{entries: map[int64]*producerEntry{}} }

// check says what to do with a batch of a producer: append it (nil, nil), answer with the batch that it repeats, or
// refuse it with ErrInvalidProducerEpoch or ErrOutOfOrderSequence. Source: Kafka's ProducerStateEntry and
// ProducerAppendInfo.
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
	return nil, nil
}

// nextSequence is the sequence that the producer must go on with in its epoch.
func (e *producerEntry) nextSequence() int32 {
	newest := e.newest()
	if newest == nil || newest.lastSequence == math.MaxInt32 {
		return 0
	}
	return newest.lastSequence + 1
}

// apply takes note of a batch that is in the log.
func (p *producers) apply(b record.Batch, nowMs int64) {
	id := b.ProducerID()
	if id < 0 {
		return
	}
	e := p.entries[id]
	if e == nil {
		e = &producerEntry{id: id, epoch: b.ProducerEpoch()}
		p.entries[id] = e
	}
	if b.ProducerEpoch() != e.epoch {
		e.epoch, e.count = b.ProducerEpoch(), 0
	}
	e.lastActiveMs = nowMs
	if b.IsControl() || b.BaseSequence() < 0 {
		// A transaction marker fences older epochs and has no sequence.
		return
	}
	e.add(producedBatch{
		firstSequence: b.BaseSequence(),
		lastSequence:  b.LastSequence(),
		lastOffset:    b.LastOffset(),
		offsetDelta:   b.LastOffsetDelta(),
		timestampMs:   b.MaxTimestampMs(),
	})
}

// expire forgets who has been idle for expirationMs and returns how many that were.
func (p *producers) expire(nowMs, expirationMs int64) int {
	expired := 0
	for id, e := range p.entries {
		if nowMs-e.lastActiveMs >= expirationMs {
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
}

// all returns every producer in no order.
func (p *producers) all() []Producer {
	list := make([]Producer, 0, len(p.entries))
	for _, e := range p.entries {
		view := Producer{ID: e.id, Epoch: e.epoch, LastSequence: -1, LastTimestampMs: -1}
		if newest := e.newest(); newest != nil {
			view.LastSequence, view.LastTimestampMs = newest.lastSequence, newest.timestampMs
		}
		list = append(list, view)
	}
	return list
}
