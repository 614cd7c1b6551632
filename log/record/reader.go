package record

import "fmt"

// Reader walks the records of one batch after the other:
//
//	reader, err := batch.Records(maxBytes)
//	for reader.Next() {
//		record := reader.Record()
//	}
//	err = reader.Err()
//
// Reset takes the next batch and keeps the buffer for decompressed records. Not safe for concurrent use.
type Reader struct {
	batch        Batch
	payload      []byte
	at           int
	index        int32
	record       Record
	err          error
	decompressed []byte
}

// Records returns a Reader at the start of b. maxBytes bounds what decompression may produce;
// an uncompressed batch is not copied and not bounded. Errors: ErrCodec, ErrTooLarge, ErrInvalid (the codec cannot read the payload).
func (b Batch) Records(maxBytes int) (*Reader, error) {
	r := new(Reader)
	if err := r.Reset(b, maxBytes); err != nil {
		return nil, err
	}
	return r, nil
}

// Reset begins anew at the first record of b. What earlier calls of Record returned is invalid from here on
// if its batch was compressed. It errs as Records does, and then Next returns false.
func (r *Reader) Reset(b Batch, maxBytes int) error {
	*r = Reader{batch: b, payload: b.Payload(), decompressed: r.decompressed}
	if codec := b.Codec(); codec != None {
		plain, err := Decompress(codec, r.decompressed[:0], b.Payload(), maxBytes)
		if err != nil {
			r.payload, r.err = nil, fmt.Errorf("batch at offset %d: %w", b.BaseOffset(), err)
			return r.err
		}
		r.payload, r.decompressed = plain, plain
	}
	return nil
}

// Next goes on to the next record. It returns false after the last one, and when the batch turns out broken: see Err.
func (r *Reader) Next() bool {
	if r.err != nil {
		return false
	}
	if count := r.batch.Count(); r.index >= count {
		if r.at != len(r.payload) {
			r.err = fmt.Errorf("%w: batch at offset %d: %d bytes after the last of %d records",
				ErrInvalid, r.batch.BaseOffset(), len(r.payload)-r.at, count)
		}
		return false
	}
	next := parseRecord(r.payload, r.at, &r.record)
	if next == malformed {
		r.err = fmt.Errorf("%w: batch at offset %d: record %d of %d is malformed", ErrInvalid, r.batch.BaseOffset(), r.index, r.batch.Count())
		return false
	}
	r.at = next
	r.index++
	return true
}

// Record is the record that Next went to. Its slices alias the batch, or the Reader's buffer if the batch is compressed.
func (r *Reader) Record() Record { return r.record }

// Offset is the absolute offset of the record that Next went to.
func (r *Reader) Offset() int64 { return r.batch.BaseOffset() + int64(r.record.OffsetDelta) }

// TimestampMs is the timestamp of the record that Next went to: the batch's append time under LogAppendTime.
func (r *Reader) TimestampMs() int64 {
	if r.batch.TimestampType() == LogAppendTime {
		return r.batch.MaxTimestampMs()
	}
	return r.batch.BaseTimestampMs() + r.record.TimestampDeltaMs
}

// Err says why Next returned false: nil after the last record, else ErrInvalid or what Reset returned.
func (r *Reader) Err() error { return r.err }
