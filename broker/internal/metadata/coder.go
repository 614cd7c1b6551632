package metadata

import (
	"encoding/binary"
	"fmt"
	"math"
)

// coder writes or reads the fields of a record in Kafka's flexible encoding (KIP-482): whichever it is set to, a
// record's fields method is the same, so that the two directions cannot differ.
type coder struct {
	reading bool
	buf     []byte // written so far, or left to read
	err     error  // the first error of reading; later fields read as zero
}

func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
	c.buf = nil
}

// take cuts size bytes off what is left to read.
func (c *coder) take(size int) []byte {
	if c.err != nil || size < 0 || size > len(c.buf) {
		c.fail("needs %d bytes and has %d", size, len(c.buf))
		return nil
	}
	taken := c.buf[:size]
	c.buf = c.buf[size:]
	return taken
}

func (c *coder) uvarint(value *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *value)
		return
	}
	read, size := binary.Uvarint(c.buf)
	if size <= 0 {
		c.fail("bad variable-length number")
		*value = 0
		return
	}
	*value = read
	c.buf = c.buf[size:]
}

// fixed is a big-endian number of size bytes.
func (c *coder) fixed(value uint64, size int) uint64 {
	var bytes [8]byte
	if !c.reading {
		binary.BigEndian.PutUint64(bytes[:], value)
		c.buf = append(c.buf, bytes[8-size:]...)
		return value
	}
	copy(bytes[8-size:], c.take(size))
	return binary.BigEndian.Uint64(bytes[:])
}

func (c *coder) int8(value *int8)     { *value = int8(c.fixed(uint64(uint8(*value)), 1)) }
func (c *coder) int16(value *int16)   { *value = int16(c.fixed(uint64(uint16(*value)), 2)) }
func (c *coder) uint16(value *uint16) { *value = uint16(c.fixed(uint64(*value), 2)) }
func (c *coder) int32(value *int32)   { *value = int32(c.fixed(uint64(uint32(*value)), 4)) }
func (c *coder) int64(value *int64)   { *value = int64(c.fixed(uint64(*value), 8)) }

func (c *coder) float64(value *float64) {
	*value = math.Float64frombits(c.fixed(math.Float64bits(*value), 8))
}

func (c *coder) bool(value *bool) {
	number := uint64(0)
	if *value {
		number = 1
	}
	*value = c.fixed(number, 1) != 0
}

func (c *coder) uuid(value *[16]byte) {
	if !c.reading {
		c.buf = append(c.buf, value[:]...)
		return
	}
	copy(value[:], c.take(len(value)))
}

// length is a compact length: one more than the number, 0 for null. It returns -1 for null. What is read has been
// held against the bytes that are left, of which an element takes at least one.
func (c *coder) length(size int) int {
	encoded := uint64(size + 1)
	c.uvarint(&encoded)
	if c.reading && encoded > uint64(len(c.buf))+1 {
		c.fail("length %d with %d bytes left", encoded, len(c.buf))
		return -1
	}
	return int(encoded) - 1
}

func (c *coder) nullableString(value **string) {
	if !c.reading {
		if *value == nil {
			c.length(-1)
			return
		}
		c.length(len(**value))
		c.buf = append(c.buf, **value...)
		return
	}
	*value = nil
	if size := c.length(0); size >= 0 {
		text := string(c.take(size))
		*value = &text
	}
}

func (c *coder) string(value *string) {
	pointer := value
	c.nullableString(&pointer)
	switch {
	case !c.reading:
	case pointer == nil:
		c.fail("null where a string must be")
		*value = ""
	default:
		*value = *pointer
	}
}

// array codes the elements of *values with element, each in turn.
func array[T any](c *coder, values *[]T, element func(*coder, *T)) {
	size := c.length(len(*values))
	if c.reading {
		if size < 0 {
			c.fail("null where an array must be")
			size = 0
		}
		*values = make([]T, size)
	}
	for i := range *values {
		element(c, &(*values)[i])
	}
}

// tags is the section of tagged fields that ends every structure. None are written. Those read are skipped: every
// one that Kafka's records have today may be left out by its writer.
func (c *coder) tags() {
	count := uint64(0)
	c.uvarint(&count)
	for ; count > 0 && c.err == nil; count-- {
		var tag, size uint64
		c.uvarint(&tag)
		c.uvarint(&size)
		if size > uint64(len(c.buf)) {
			c.fail("tagged field of %d bytes with %d left", size, len(c.buf))
			return
		}
		c.take(int(size))
	}
}
