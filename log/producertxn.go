package log

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/log/record"
)

// checkInternal refuses a batch of the broker itself with ErrInvalidProducerEpoch, ErrCoordinatorFenced or
// ErrInvalidTxnState. It has no sequence. Source: Kafka's ProducerAppendInfo for AppendOrigin.COORDINATOR.
func (p *producers) checkInternal(b record.Batch, newEpochOnly bool) error {
	if b.ProducerID() < 0 {
		return nil
	}
	e := p.entries[b.ProducerID()]
	if b.IsControl() {
		return e.checkMarker(b, newEpochOnly)
	}
	if e == nil {
		return nil
	}
	if b.ProducerEpoch() < e.epoch {
		return fmt.Errorf("%w: producer %d sent epoch %d, newest is %d", ErrInvalidProducerEpoch, e.id, b.ProducerEpoch(), e.epoch)
	}
	return e.checkTransaction(b)
}

// checkTransaction refuses what would end up in the middle of the producer's open transaction without being a part of it.
func (e *producerEntry) checkTransaction(b record.Batch) error {
	if !e.open() || b.IsTransactional() {
		return nil
	}
	return fmt.Errorf("%w: producer %d has had one open since offset %d", ErrInvalidTxnState, e.id, e.txnFirst)
}

// checkMarker is checkInternal for a control batch. e is nil for a producer that is not known.
func (e *producerEntry) checkMarker(b record.Batch, newEpochOnly bool) error {
	if err := checkMarkerReadable(b); err != nil || e == nil {
		return err
	}
	marker, err := b.ParseEndTxnMarker()
	switch {
	case err != nil:
		return nil // of another type
	case marker.ProducerEpoch < e.epoch, newEpochOnly && marker.ProducerEpoch == e.epoch && e.open():
		return fmt.Errorf("%w: marker of producer %d has epoch %d, newest is %d", ErrInvalidProducerEpoch, e.id, marker.ProducerEpoch, e.epoch)
	case marker.CoordinatorEpoch < e.coordinatorEpoch:
		return fmt.Errorf("%w: marker of producer %d has coordinator epoch %d, newest is %d",
			ErrCoordinatorFenced, e.id, marker.CoordinatorEpoch, e.coordinatorEpoch)
	}
	return nil
}

// checkMarkerReadable refuses a control batch that ends a transaction nobody can say how.
func checkMarkerReadable(b record.Batch) error {
	controlType, err := b.ControlType()
	if err == nil && (controlType == record.ControlAbort || controlType == record.ControlCommit) {
		_, err = b.ParseEndTxnMarker()
	}
	return err
}

// applyMarker takes note of a control batch of the producer. One without records is what compaction left: it ends nothing.
func (p *producers) applyMarker(e *producerEntry, b record.Batch) (aborted abortedEntry, ok bool) {
	if b.Count() == 0 {
		return aborted, false
	}
	marker, err := b.ParseEndTxnMarker()
	if err != nil {
		return aborted, false // of another type: that it can be read is known
	}
	e.coordinatorEpoch = max(e.coordinatorEpoch, marker.CoordinatorEpoch)
	if !e.open() {
		return aborted, false
	}
	first := e.txnFirst
	e.txnFirst = noTransaction
	lastStable := p.unstable.end(first, b.BaseOffset())
	return abortedEntry{
		AbortedTransaction: AbortedTransaction{ProducerID: e.id, FirstOffset: first, LastOffset: b.BaseOffset()},
		lastStable:         lastStable,
	}, marker.Type == record.ControlAbort
}

// resume makes the transactions unstable that are open in the entries, which were read from a snapshot.
func (p *producers) resume() {
	var open []int64
	for e := range maps.Values(p.entries) {
		if e.open() {
			open = append(open, e.txnFirst)
		}
	}
	slices.Sort(open)
	for _, first := range open {
		p.unstable.begin(first)
	}
}
