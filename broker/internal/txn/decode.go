package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// decoder reads a value of __transaction_state. kmsg could, but believes any number of tagged fields, and so would loop
// four billion times over a value that is nothing but such a number.
type decoder struct {
	rest     []byte
	flexible bool // lengths are varints, and structures end with tagged fields
	short    bool // something was beyond the end; all that was read then is zero
}

var errShort = errors.New("value is cut short")

// span takes the next length bytes.
func (d *decoder) span(length int) []byte {
	if length < 0 || length > len(d.rest) {
		d.short, d.rest = true, nil
		return nil
	}
	taken := d.rest[:length]
	d.rest = d.rest[length:]
	return taken
}

// integer reads a big-endian integer of size bytes, at most 8.
func (d *decoder) integer(size int) int64 {
	var wide [8]byte
	taken := d.span(size)
	copy(wide[8-len(taken):], taken)
	shift := 64 - 8*size
	return int64(binary.BigEndian.Uint64(wide[:])) << shift >> shift
}

func (d *decoder) uvarint() int {
	number, size := binary.Uvarint(d.rest)
	if size <= 0 || number > math.MaxUint32 {
		size = -1
		number = 0
	}
	d.span(size)
	return int(number)
}

// length reads the length of a string, whose prefix has size bytes if it is not flexible, or of an array; -1 for null.
func (d *decoder) length(size int) int {
	if d.flexible {
		return d.uvarint() - 1
	}
	return int(d.integer(size))
}

// tags hands every tagged field of a structure to each.
func (d *decoder) tags(each func(tag int, field *decoder)) {
	if !d.flexible {
		return
	}
	for count := d.uvarint(); count > 0 && !d.short; count-- {
		tag := d.uvarint()
		each(tag, &decoder{rest: d.span(d.uvarint())})
	}
}

// partitions reads topics with their partitions.
func (d *decoder) partitions() []Partition {
	var partitions []Partition
	for topics := d.length(4); topics > 0 && !d.short; topics-- {
		topic := string(d.span(d.length(2)))
		for count := d.length(4); count > 0 && !d.short; count-- {
			partitions = append(partitions, Partition{Topic: topic, Partition: int32(d.integer(4))})
		}
		d.tags(func(int, *decoder) {})
	}
	return partitions
}

// metadata reads a value of a version that is known.
func (d *decoder) metadata() (metadata, error) {
	version := d.integer(2)
	if version < valueVersionOld || version > valueVersion {
		return metadata{}, fmt.Errorf("value of version %d", version)
	}
	d.flexible = version == valueVersion
	m := metadata{
		producerID:         d.integer(8),
		producerEpoch:      int16(d.integer(2)),
		timeoutMs:          int32(d.integer(4)),
		phase:              Phase(d.integer(1)),
		partitions:         d.partitions(),
		updatedMs:          d.integer(8),
		startMs:            d.integer(8),
		previousProducerID: noProducerID,
		nextProducerID:     noProducerID,
		lastProducerEpoch:  noProducerEpoch,
	}
	d.tags(func(tag int, field *decoder) {
		switch tag {
		case previousProducerIDTag:
			m.previousProducerID = field.integer(8)
		case nextProducerIDTag:
			m.nextProducerID = field.integer(8)
		case clientTransactionVersionTag:
			m.version = int16(field.integer(2))
		case lastProducerEpochTag:
			m.lastProducerEpoch = int16(field.integer(2))
		}
		d.short = d.short || field.short
	})
	if d.short {
		return metadata{}, errShort
	}
	return m, nil
}
