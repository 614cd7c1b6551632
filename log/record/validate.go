package record

import (
	"fmt"
	"math"
)

// CheckCRC errs with ErrCorrupt if the stored CRC is not that of the bytes.
func (b Batch) CheckCRC() error {
	if computed := b.computeCRC(); computed != b.CRC() {
		return fmt.Errorf("%w: crc %#08x stored, %#08x computed", ErrCorrupt, b.CRC(), computed)
	}
	return nil
}

// Validate checks b as a log takes it: framing, CRC, a known codec, counts that agree, and in an uncompressed batch
// every record: lengths, offset deltas from 0 without a gap, as many as counted. The payload of a compressed batch is not looked at.
// The errors are ErrShort or ErrCorrupt (framing, CRC), ErrMagic, ErrCodec and ErrInvalid.
// A sound batch costs no allocation. What only a client may not do is checked by ValidateProduced.
func (b Batch) Validate() error {
	if err := b.validateHeader(); err != nil {
		return err
	}
	if b.Codec() != None {
		return nil
	}
	_, err := b.validateRecords(b.Payload())
	return err
}

// ValidateProduced is Validate and the rules for a batch that comes from a client: base offset 0, no control batch,
// a sequence if there is a producer id (all ErrInvalid), timestamps of its own (ErrTimestamp).
//
// As Kafka does, it corrects in place a maximum timestamp that is not that of the records: sarama leaves it at -1.
// A compressed batch is believed as long as its maximum is not before its base timestamp; one that is, is decompressed,
// into at most maxBytes (ErrTooLarge). Otherwise nothing is allocated.
// Source: Kafka's LogValidator and UnifiedLog.analyzeAndValidateRecords for AppendOrigin.CLIENT.
func (b Batch) ValidateProduced(maxBytes int) error {
	if err := b.validateHeader(); err != nil {
		return err
	}
	switch {
	case b.BaseOffset() != 0:
		return fmt.Errorf("%w: base offset %d from a client, not 0", ErrInvalid, b.BaseOffset())
	case b.IsControl():
		return fmt.Errorf("%w: control batch from a client", ErrInvalid)
	case b.ProducerID() > NoProducerID && b.BaseSequence() < 0:
		return fmt.Errorf("%w: producer id %d with base sequence %d", ErrInvalid, b.ProducerID(), b.BaseSequence())
	case b.TimestampType() == LogAppendTime:
		return fmt.Errorf("%w: %v from a client", ErrTimestamp, LogAppendTime)
	}
	payload := b.Payload()
	if codec := b.Codec(); codec != None {
		if b.MaxTimestampMs() >= b.BaseTimestampMs() {
			return nil
		}
		var err error
		if payload, err = Decompress(codec, nil, payload, maxBytes); err != nil {
			return err
		}
	}
	maxTimestampMs, err := b.validateRecords(payload)
	if err == nil && maxTimestampMs != b.MaxTimestampMs() {
		b.SetMaxTimestampMs(maxTimestampMs)
	}
	return err
}

func (b Batch) validateHeader() error {
	if size, err := Size(b); err != nil {
		return err
	} else if size != len(b) {
		return fmt.Errorf("%w: length says %d bytes, batch has %d", ErrCorrupt, size, len(b))
	}
	if err := b.CheckCRC(); err != nil {
		return err
	}
	if !b.Codec().Known() {
		return fmt.Errorf("%w: %d", ErrCodec, int8(b.Codec()))
	}
	count := b.Count()
	if count <= 0 || int64(count) != int64(b.LastOffsetDelta())+1 {
		return fmt.Errorf("%w: record count %d, last offset delta %d", ErrInvalid, count, b.LastOffsetDelta())
	}
	return nil
}

// validateRecords walks payload, the plain records of b, and returns their greatest timestamp.
func (b Batch) validateRecords(payload []byte) (maxTimestampMs int64, err error) {
	count := b.Count()
	at, maxDeltaMs := 0, int64(math.MinInt64)
	for i := range count {
		offsetDelta, timestampDeltaMs, next := checkRecord(payload, at)
		if next == malformed {
			return 0, fmt.Errorf("%w: record %d of %d at byte %d is malformed", ErrInvalid, i, count, at)
		}
		if offsetDelta != int64(i) {
			return 0, fmt.Errorf("%w: record %d of %d has offset delta %d", ErrInvalid, i, count, offsetDelta)
		}
		maxDeltaMs = max(maxDeltaMs, timestampDeltaMs)
		at = next
	}
	if at != len(payload) {
		return 0, fmt.Errorf("%w: %d bytes after the last of %d records", ErrInvalid, len(payload)-at, count)
	}
	return b.BaseTimestampMs() + maxDeltaMs, nil
}
