package load

import (
	"encoding/binary"
	"time"
)

// StampBytes begin the values of records that are recognized when they are read: the run that wrote them, and when
// they were due.
const StampBytes = 16

// Stamp returns value with a stamp in place of its first StampBytes, which it must have. value stays as it is.
func Stamp(value []byte, run uint64, due time.Duration) []byte {
	stamped := append(make([]byte, 0, len(value)), value...)
	binary.BigEndian.PutUint64(stamped, run)
	binary.BigEndian.PutUint64(stamped[8:], uint64(due))
	return stamped
}

// Stamped returns when a record of that run was due. ok is false for the records of others.
func Stamped(value []byte, run uint64) (due time.Duration, ok bool) {
	if len(value) < StampBytes || binary.BigEndian.Uint64(value) != run {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint64(value[8:])), true
}
