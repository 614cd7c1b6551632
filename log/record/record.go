package record

import (
	"iter"
	"math"
)

// Record is one record as views into the bytes that it was read from.
type Record struct {
	OffsetDelta      int32  // to the batch's base offset
	TimestampDeltaMs int64  // to the batch's base timestamp; meaningless under LogAppendTime
	Key, Value       []byte // nil is null, which in a value is a tombstone
	Headers          Headers
}

// Header is one key and value of a record's headers (KIP-82). Value nil is null.
type Header struct {
	Key   []byte
	Value []byte
}

// Headers is a view of a record's headers, in their order, repeated keys included. The zero value has none.
type Headers struct {
	raw   []byte // checked by parseRecord
	count int32
}

// Len is the number of headers.
func (h Headers) Len() int { return int(h.count) }

// All walks the headers. The slices alias what the record was read from.
func (h Headers) All() iter.Seq[Header] {
	return func(yield func(Header) bool) {
		at := 0
		for range h.count {
			var header Header
			header, at = parseHeader(h.raw, at)
			if at == malformed || !yield(header) {
				return
			}
		}
	}
}

// AppendTo appends the headers to dst. The slices still alias what the record was read from.
func (h Headers) AppendTo(dst []Header) []Header {
	for header := range h.All() {
		dst = append(dst, header)
	}
	return dst
}

// parseShortRecord is the broker's cost per produced record and the reader's per consumed one, so a record whose numbers
// have one or two bytes each and that has no headers is walked here without a call. For any other, and for whatever
// looks wrong, it returns the position malformed. A length of -1 is null.
// Seven results and no struct: they stay in registers, which halves the time. next comes from the record's length alone,
// though its fields must end there too: so the processor goes on to the next record while it still checks this one.
func parseShortRecord(p []byte, at int) (offsetDelta, timestampDeltaMs int64, keyLength, keyEnd, valueLength, valueEnd, next int) {
	length, body := readShortVarint(p, at)
	timestampDeltaMs, at = readShortVarint(p, body+1) // past the attributes
	offsetDelta, at = readShortVarint(p, at)
	key, at := readShortVarint(p, at)
	keyEnd = at + int(max(key, 0))
	value, at := readShortVarint(p, keyEnd)
	valueEnd = at + int(max(value, 0))
	next = body + int(length)
	if body < 0 || at < 0 || key < -1 || value < -1 || offsetDelta < 0 ||
		valueEnd >= len(p) || p[valueEnd] != 0 || valueEnd+1 != next {
		return 0, 0, 0, 0, 0, 0, malformed
	}
	return offsetDelta, timestampDeltaMs, int(key), keyEnd, int(value), valueEnd, next
}

// checkRecord is parseRecord for who needs only the deltas.
func checkRecord(p []byte, at int) (offsetDelta, timestampDeltaMs int64, next int) {
	if offsetDelta, timestampDeltaMs, _, _, _, _, next = parseShortRecord(p, at); next != malformed {
		return offsetDelta, timestampDeltaMs, next
	}
	var r Record
	next = parseAnyRecord(p, at, &r)
	return int64(r.OffsetDelta), r.TimestampDeltaMs, next
}

// parseRecord reads the record at p[at] into r, which it overwrites, and returns the position after the record,
// or malformed if any length leads out of the record or the record is not used up to its last byte.
func parseRecord(p []byte, at int, r *Record) (next int) {
	offsetDelta, timestampDeltaMs, keyLength, keyEnd, valueLength, valueEnd, next := parseShortRecord(p, at)
	if next == malformed {
		return parseAnyRecord(p, at, r)
	}
	r.OffsetDelta, r.TimestampDeltaMs, r.Key, r.Value = int32(offsetDelta), timestampDeltaMs, nil, nil
	if keyLength >= 0 {
		r.Key = p[keyEnd-keyLength : keyEnd : keyEnd]
	}
	if valueLength >= 0 {
		r.Value = p[valueEnd-valueLength : valueEnd : valueEnd]
	}
	if r.Headers.count != 0 {
		r.Headers = Headers{}
	}
	return next
}

func parseAnyRecord(p []byte, at int, r *Record) (next int) {
	length, at := readVarint(p, at)
	if at == malformed || length < 0 || length > int64(len(p)-at) {
		return malformed
	}
	next = at + int(length)
	p = p[:next]
	r.TimestampDeltaMs, at = readVarint(p, at+1) // the attributes of a record mean nothing so far
	if at == malformed {
		return malformed
	}
	offsetDelta, at := readVarint(p, at)
	if at == malformed || offsetDelta < 0 || offsetDelta > math.MaxInt32 {
		return malformed
	}
	r.OffsetDelta = int32(offsetDelta)
	if r.Key, at = parseNullable(p, at); at == malformed {
		return malformed
	}
	if r.Value, at = parseNullable(p, at); at == malformed {
		return malformed
	}
	count, at := readVarint(p, at)
	if at == malformed || count < 0 || count > int64(len(p)-at) {
		return malformed
	}
	r.Headers = Headers{raw: p[at:], count: int32(count)}
	for range count {
		if _, at = parseHeader(p, at); at == malformed {
			return malformed
		}
	}
	if at != next {
		return malformed
	}
	return next
}

func parseHeader(p []byte, at int) (h Header, next int) {
	if h.Key, next = parseNullable(p, at); next == malformed || h.Key == nil {
		return Header{}, malformed
	}
	if h.Value, next = parseNullable(p, next); next == malformed {
		return Header{}, malformed
	}
	return h, next
}

// parseNullable reads a length and as many bytes. A length of -1 gives nil, a length of 0 an empty slice that is not nil.
func parseNullable(p []byte, at int) (field []byte, next int) {
	length, at := readVarint(p, at)
	if at == malformed || length > int64(len(p)-at) || length < -1 {
		return nil, malformed
	}
	if length == -1 {
		return nil, at
	}
	next = at + int(length)
	return p[at:next:next], next
}
