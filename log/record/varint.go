package record

// malformed is the position that the varint readers return for a varint that is cut off or too long.
const malformed = -1

// readVarint reads the zigzag varint at p[at] and returns it with the position after it.
// It reads at most ten bytes; callers that want 32 bits check the range.
func readVarint(p []byte, at int) (value int64, next int) {
	if uint(at) < uint(len(p)) && p[at] < 0x80 {
		return int64(p[at]>>1) ^ -int64(p[at]&1), at + 1
	}
	return readLongVarint(p, at)
}

// readLongVarint is kept out of line so that readVarint, which is mostly one byte, goes inline.
//
//go:noinline
func readLongVarint(p []byte, at int) (value int64, next int) {
	if uint(at) < uint(len(p)) && uint(at+1) < uint(len(p)) && p[at+1] < 0x80 { // two bytes: most lengths
		bits := uint64(p[at]&0x7f) | uint64(p[at+1])<<7
		return int64(bits>>1) ^ -int64(bits&1), at + 2
	}
	var bits uint64
	for shift := uint(0); shift < 70; shift += 7 {
		if uint(at) >= uint(len(p)) {
			return 0, malformed
		}
		octet := p[at]
		at++
		if shift == 63 && octet > 1 {
			return 0, malformed
		}
		bits |= uint64(octet&0x7f) << shift
		if octet < 0x80 {
			return int64(bits>>1) ^ -int64(bits&1), at
		}
	}
	return 0, malformed
}

// longVarint is so far below zero that it stays there whatever readShortVarint's callers add to it.
const longVarint = -1 << 30

// readShortVarint reads a varint of one or two bytes that is not the last byte of p. For any other, and for a position
// below zero, it returns the position longVarint.
func readShortVarint(p []byte, at int) (value int64, next int) {
	if uint(at+1) >= uint(len(p)) {
		return 0, longVarint
	}
	bits := uint64(p[at])
	next = at + 1
	if bits >= 0x80 {
		if p[next] >= 0x80 {
			return 0, longVarint
		}
		bits = bits&0x7f | uint64(p[next])<<7
		next++
	}
	return int64(bits>>1) ^ -int64(bits&1), next
}

func appendVarint(dst []byte, value int64) []byte {
	bits := uint64(value<<1) ^ uint64(value>>63)
	for bits >= 0x80 {
		dst = append(dst, byte(bits)|0x80)
		bits >>= 7
	}
	return append(dst, byte(bits))
}

func varintSize(value int64) int {
	bits := uint64(value<<1) ^ uint64(value>>63)
	size := 1
	for bits >= 0x80 {
		size++
		bits >>= 7
	}
	return size
}
