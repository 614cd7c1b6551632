package record

import (
	"encoding/binary"
	"fmt"
)

// ControlType is what the record of a control batch says, the second field of its key.
type ControlType int16

// Kafka's control types. Only the first two are ever in a topic's partition; the others are of its metadata quorum.
const (
	ControlAbort          ControlType = 0 // ends a transaction: its records are void
	ControlCommit         ControlType = 1 // ends a transaction: its records count
	ControlLeaderChange   ControlType = 2
	ControlSnapshotHeader ControlType = 3
	ControlSnapshotFooter ControlType = 4
	ControlKRaftVersion   ControlType = 5
	ControlKRaftVoters    ControlType = 6
)

var controlNames = [...]string{"abort", "commit", "leader-change", "snapshot-header", "snapshot-footer", "kraft-version", "kraft-voters"}

// String is the type in words; one that is not known has its number.
func (t ControlType) String() string {
	if t < 0 || int(t) >= len(controlNames) {
		return fmt.Sprintf("control-%d", int16(t))
	}
	return controlNames[t]
}

// Sizes of a control record's key (version, type) and an end-of-transaction marker's value (version, coordinator epoch), all of version 0.
const (
	controlKeySize   = 4
	endTxnMarkerSize = 6
)

// ParseControlType reads the key of a control record. Later versions of the key may only append to it.
func ParseControlType(key []byte) (ControlType, error) {
	if len(key) < controlKeySize {
		return 0, fmt.Errorf("%w: control record key of %d bytes", ErrInvalid, len(key))
	}
	if version := int16(binary.BigEndian.Uint16(key)); version < 0 {
		return 0, fmt.Errorf("%w: control record key version %d", ErrInvalid, version)
	}
	return ControlType(binary.BigEndian.Uint16(key[2:])), nil
}

// EndTxnMarker ends a producer's transaction in one partition (KIP-98).
type EndTxnMarker struct {
	Type             ControlType // ControlAbort or ControlCommit
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	TimestampMs      int64
}

// Batch is the marker as a control batch of one record, in new memory.
func (m EndTxnMarker) Batch() Batch {
	key := binary.BigEndian.AppendUint16(nil, 0)
	key = binary.BigEndian.AppendUint16(key, uint16(m.Type))
	value := binary.BigEndian.AppendUint16(nil, 0)
	value = binary.BigEndian.AppendUint32(value, uint32(m.CoordinatorEpoch))
	builder := NewBuilder(Options{
		Producer:      &Producer{ID: m.ProducerID, Epoch: m.ProducerEpoch, BaseSequence: NoSequence},
		Transactional: true,
		Control:       true,
	})
	builder.Add(m.TimestampMs, key, value)
	batch, err := builder.Build()
	if err != nil {
		panic(fmt.Sprintf("an uncompressed batch cannot fail to build: %v", err))
	}
	return batch
}

// ParseEndTxnMarker reads the one record of a control batch that ends a transaction.
// Any other batch, a control record of another type included, is ErrInvalid; look at ControlType first.
func (b Batch) ParseEndTxnMarker() (EndTxnMarker, error) {
	controlType, value, err := b.control()
	if err != nil {
		return EndTxnMarker{}, err
	}
	if controlType != ControlAbort && controlType != ControlCommit {
		return EndTxnMarker{}, fmt.Errorf("%w: control record %v is no end of a transaction", ErrInvalid, controlType)
	}
	if len(value) < endTxnMarkerSize {
		return EndTxnMarker{}, fmt.Errorf("%w: end of transaction marker of %d bytes", ErrInvalid, len(value))
	}
	return EndTxnMarker{
		Type:             controlType,
		ProducerID:       b.ProducerID(),
		ProducerEpoch:    b.ProducerEpoch(),
		CoordinatorEpoch: int32(binary.BigEndian.Uint32(value[2:])),
		TimestampMs:      b.MaxTimestampMs(),
	}, nil
}

// ControlType is the type of a control batch's first record. Not a control batch, or a key that cannot be read: ErrInvalid.
func (b Batch) ControlType() (ControlType, error) {
	controlType, _, err := b.control()
	return controlType, err
}

func (b Batch) control() (ControlType, []byte, error) {
	if !b.IsControl() || b.Codec() != None {
		return 0, nil, fmt.Errorf("%w: no control batch (attributes %#x)", ErrInvalid, b.Attributes())
	}
	var r Record
	if b.Count() < 1 || parseRecord(b.Payload(), 0, &r) == malformed {
		return 0, nil, fmt.Errorf("%w: control batch at offset %d without a readable record", ErrInvalid, b.BaseOffset())
	}
	controlType, err := ParseControlType(r.Key)
	return controlType, r.Value, err
}
