package record

import (
	"encoding/binary"
	"fmt"
)

// The least value of the length field: of the oldest format, and of version 2.
const (
	leastLegacyLength = 14
	leastLength       = HeaderSize - lengthEnd
)

// PeekSize is how many bytes Size needs to see.
const PeekSize = magicAt + 1

// Size is the size in bytes of the batch that begins at buf[0], its header included, whether buf holds all of it or not.
// It errs as Next does: ErrShort with fewer than PeekSize bytes, ErrCorrupt, ErrMagic.
func Size(buf []byte) (int, error) {
	if len(buf) < PeekSize {
		return 0, fmt.Errorf("%w: %d bytes, %d needed to know its size", ErrShort, len(buf), PeekSize)
	}
	length := int32(binary.BigEndian.Uint32(buf[lengthAt:]))
	if length < leastLegacyLength {
		return 0, fmt.Errorf("%w: length %d", ErrCorrupt, length)
	}
	switch version := int8(buf[magicAt]); {
	case version == 0 || version == 1:
		return 0, fmt.Errorf("%w: magic %d", ErrMagic, version)
	case version != magic:
		return 0, fmt.Errorf("%w: magic %d", ErrCorrupt, version)
	}
	if length < leastLength {
		return 0, fmt.Errorf("%w: length %d, at least %d needed", ErrCorrupt, length, leastLength)
	}
	return lengthEnd + int(length), nil
}

// Next cuts the first batch off buf. It looks at the framing only (length and magic): use Validate or CheckCRC on what it returns.
// b and rest alias buf. ErrShort says that buf ends inside the batch, ErrCorrupt that the length or magic cannot be,
// ErrMagic that the batch is of format 0 or 1.
func Next(buf []byte) (b Batch, rest []byte, err error) {
	size, err := Size(buf)
	if err != nil {
		return nil, buf, err
	}
	if size > len(buf) {
		return nil, buf, fmt.Errorf("%w: %d bytes of %d", ErrShort, len(buf), size)
	}
	return Batch(buf[:size:size]), buf[size:], nil
}
