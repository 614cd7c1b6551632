package record

import (
	"encoding/binary"
	"fmt"
)

// Rewriter makes of a batch one with fewer records, in its own buffers: what compaction leaves of it. Offsets, sequence,
// leader epoch and codec stay as they were, so the result has gaps. The zero value is ready; not safe for concurrent use.
type Rewriter struct {
	batch          Batch
	reader         Reader
	kept           []span
	maxTimestampMs int64
	plain          []byte // header and records
	packed         []byte // header and compressed records
}

// span is where one record lies in the plain records.
type span struct{ from, to int }

// Sieve walks the records of b and notes which of them keep accepts; Build makes a batch of those. kept of b.Count() records
// stay. maxBytes and the errors are those of Batch.Records; after an error there is nothing to build. b must not change until
// Build is done.
func (w *Rewriter) Sieve(b Batch, maxBytes int, keep func(*Reader) bool) (kept int, err error) {
	w.batch, w.kept, w.maxTimestampMs = b, w.kept[:0], NoTimestamp
	if err := w.reader.Reset(b, maxBytes); err != nil {
		return 0, err
	}
	for from := 0; w.reader.Next(); from = w.reader.at {
		if keep(&w.reader) {
			w.kept = append(w.kept, span{from, w.reader.at})
			w.maxTimestampMs = max(w.maxTimestampMs, w.reader.TimestampMs())
		}
	}
	return len(w.kept), w.reader.Err()
}

// Build returns the batch of what the last Sieve kept, which is at least one record. It is valid until the next Build.
// A deleteHorizonMs of 0 or more becomes the batch's delete horizon (KIP-534); NoTimestamp leaves that as it was.
// The error is that of the codec.
func (w *Rewriter) Build(deleteHorizonMs int64) (Batch, error) {
	b := w.batch
	w.plain = append(w.plain[:0], b[:HeaderSize]...)
	attributes, baseTimestampMs := uint16(b.Attributes()), b.BaseTimestampMs()
	if deleteHorizonMs > NoTimestamp {
		attributes |= deleteHorizonBit
		baseTimestampMs = deleteHorizonMs
	}
	shiftMs := b.BaseTimestampMs() - baseTimestampMs
	for _, s := range w.kept {
		raw := w.reader.payload[s.from:s.to]
		if shiftMs == 0 {
			w.plain = append(w.plain, raw...)
		} else {
			w.plain = appendShifted(w.plain, raw, shiftMs)
		}
	}
	batch := Batch(w.plain)
	if codec := b.Codec(); codec != None {
		packed, err := Compress(codec, 0, append(w.packed[:0], w.plain[:HeaderSize]...), w.plain[HeaderSize:])
		if err != nil {
			return nil, fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
		}
		w.packed = packed
		batch = Batch(packed)
	}
	maxTimestampMs := w.maxTimestampMs
	if b.TimestampType() == LogAppendTime {
		maxTimestampMs = b.MaxTimestampMs()
	}
	batch.putRewritten(attributes, baseTimestampMs, len(w.kept))
	batch.SetMaxTimestampMs(maxTimestampMs)
	return batch, nil
}

// Empty returns the header of b as a batch without records: it says which offsets and sequences b had, for readers that go
// by them and for the producer's state. It is valid until the next Build or Empty.
func (w *Rewriter) Empty(b Batch) Batch {
	w.plain = append(w.plain[:0], b[:HeaderSize]...)
	batch := Batch(w.plain)
	batch.putRewritten(uint16(b.Attributes())&^(codecMask|deleteHorizonBit), NoTimestamp, 0)
	batch.SetMaxTimestampMs(b.MaxTimestampMs())
	return batch
}

// putRewritten corrects the header of a batch that has lost records, but for the maximum timestamp and the CRC.
func (b Batch) putRewritten(attributes uint16, baseTimestampMs int64, count int) {
	binary.BigEndian.PutUint32(b[lengthAt:], uint32(len(b)-lengthEnd))
	binary.BigEndian.PutUint16(b[attributesAt:], attributes)
	binary.BigEndian.PutUint64(b[baseTimestampAt:], uint64(baseTimestampMs))
	binary.BigEndian.PutUint32(b[countAt:], uint32(count))
}

// appendShifted appends a record that was read before, with shiftMs added to its timestamp delta.
func appendShifted(dst, raw []byte, shiftMs int64) []byte {
	_, body := readVarint(raw, 0)
	deltaMs, rest := readVarint(raw, body+1)
	deltaMs += shiftMs
	dst = appendVarint(dst, int64(1+varintSize(deltaMs)+len(raw)-rest))
	dst = append(dst, raw[body])
	dst = appendVarint(dst, deltaMs)
	return append(dst, raw[rest:]...)
}
