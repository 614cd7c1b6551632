package log

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// batchReader reads the batches of a file one after the other, and checks their framing and CRC.
type batchReader struct {
	file   disk.File
	size   int64 // valid bytes
	buffer []byte
	from   int64 // position of buffer[0]
	length int64 // valid bytes of buffer
	pace   func(bytes int) error
}

// reset begins anew with another file.
func (r *batchReader) reset(file disk.File, size int64) {
	r.file, r.size, r.from, r.length = file, size, 0, 0
}

// at returns the batch at position, which lies before the end. It is valid until the next call. What is no batch is a
// *CorruptError.
func (r *batchReader) at(position int64) (record.Batch, error) {
	need := int64(record.PeekSize)
	for {
		if need > r.size-position {
			return nil, r.damaged(position, fmt.Errorf("%w: %d bytes are left", record.ErrShort, r.size-position))
		}
		if position < r.from || position+need > r.from+r.length {
			if err := r.fill(position, need); err != nil {
				return nil, err
			}
		}
		whole, err := record.Size(r.buffer[position-r.from : r.length])
		if err != nil {
			return nil, r.damaged(position, err)
		}
		if need >= int64(whole) {
			break
		}
		need = int64(whole)
	}
	b := record.Batch(r.buffer[position-r.from:][:need])
	if err := b.CheckCRC(); err != nil {
		return nil, r.damaged(position, err)
	}
	if b.LastOffsetDelta() < 0 || b.Count() < 0 {
		return nil, r.damaged(position, fmt.Errorf("last offset delta %d, %d records", b.LastOffsetDelta(), b.Count()))
	}
	return b, nil
}

func (r *batchReader) fill(position, need int64) error {
	want := max(need, min(scanBuffer, r.size-position))
	if int64(cap(r.buffer)) < want {
		r.buffer = make([]byte, want)
	}
	r.buffer, r.length = r.buffer[:want], 0
	n, err := r.file.ReadAt(r.buffer, position)
	if int64(n) < want {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %s at %d: %w", r.file.Name(), position, err)
	}
	r.from, r.length = position, want
	return r.pace(int(want))
}

func (r *batchReader) damaged(position int64, err error) error {
	return &CorruptError{Path: r.file.Name(), Position: position, Err: err}
}

// each calls visit for every batch of the segment from position on, until it returns false.
func (r *batchReader) each(s *segment, visit func(b record.Batch, last bool) (more bool, err error)) error {
	file, err := s.open()
	if err != nil {
		return err
	}
	r.reset(file, s.size.Load())
	for position := int64(0); position < r.size; {
		b, err := r.at(position)
		if err != nil {
			return err
		}
		position += int64(len(b))
		more, err := visit(b, position == r.size)
		if err != nil && !errors.As(err, new(*CorruptError)) && isRecordError(err) {
			err = r.damaged(position-int64(len(b)), err)
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// isRecordError tells records that cannot be read from other failures.
func isRecordError(err error) bool {
	return errors.Is(err, record.ErrInvalid) || errors.Is(err, record.ErrCodec) || errors.Is(err, record.ErrTooLarge) || errors.Is(err, record.ErrCorrupt)
}
