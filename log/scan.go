package log

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/log/record"
)

// scanned is what scan found in a segment: whole batches up to end, and why there are no more.
type scanned struct {
	end   place
	wrong error // nil: the file ends there
}

// scanBuffer is how much of a segment is read at a time; a larger batch is read by itself.
const scanBuffer = 1 << 20

// scan reads a segment batch by batch and checks framing, CRC and offsets. Every batch goes to the index builder, if
// there is one.
func (r *recovery) scan(s *segment, index *indexBuilder) (scanned, error) {
	file, err := s.open()
	if err != nil {
		return scanned{}, err
	}
	size := s.size.Load()
	found := scanned{end: place{offset: s.base, segment: s.base}}
	buffer := make([]byte, min(scanBuffer, size))
	var from, length int64 // buffer[:length] is what lies at from
	for found.end.position < size {
		position := found.end.position
		need := int64(record.HeaderSize)
		if whole, err := record.Size(buffer[min(position-from, length):length]); err == nil {
			need = int64(whole)
		} else if !errors.Is(err, record.ErrShort) {
			found.wrong = err
			return found, nil
		}
		if need > size-position {
			found.wrong = fmt.Errorf("%w: %d bytes are left", record.ErrShort, size-position)
			return found, nil
		}
		if position+need > from+length {
			if need > int64(len(buffer)) {
				buffer = make([]byte, need)
			}
			from, length = position, min(int64(len(buffer)), size-position)
			if n, err := file.ReadAt(buffer[:length], from); int64(n) < length {
				return scanned{}, fmt.Errorf("read %s at %d: %w", file.Name(), from, errors.Join(err, io.ErrUnexpectedEOF))
			}
			continue
		}
		b := record.Batch(buffer[position-from:][:need])
		if found.wrong = r.checkBatch(b, found.end.offset); found.wrong != nil {
			return found, nil
		}
		if index != nil {
			index.add(b, position, need)
		}
		found.end.offset = b.NextOffset()
		found.end.position += need
		r.told.ScannedBytes += need
	}
	return found, nil
}

// checkBatch says what is wrong with the batch that was found where the expected offset should be.
func (r *recovery) checkBatch(b record.Batch, expected int64) error {
	if err := b.CheckCRC(); err != nil {
		return err
	}
	if b.LastOffsetDelta() < 0 {
		return fmt.Errorf("last offset delta %d", b.LastOffsetDelta())
	}
	if b.BaseOffset() < expected || b.BaseOffset() > max(expected, r.cleaner.sparse) {
		return fmt.Errorf("base offset %d, expected %d", b.BaseOffset(), expected)
	}
	return nil
}
