package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Snappy comes in two shapes: a raw block (librdkafka, franz-go, sarama) and the framing of the Java library:
//
//	magic 82 'SNAPPY' 00, version int32, lowest compatible version int32, then per block: size int32, raw block
//
// Every client reads both. Compress writes the framing, as the Java client does: it bounds what a reader holds at once.
const (
	xerialHeaderSize   = 16
	xerialBlockBytes   = 32 << 10
	snappyMostOfOne    = 22 // a snappy element turns 3 bytes into 64 at best
	snappySlackOfABody = 64
)

var xerialHeader = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1}

var errSnappy = errors.New("block sizes do not add up")

func decompressSnappy(dst, src []byte, maxBytes int) ([]byte, error) {
	if len(src) < xerialHeaderSize || !bytes.Equal(src[:8], xerialHeader[:8]) {
		return decompressSnappyBlock(dst, src, maxBytes)
	}
	start := len(dst)
	src = src[xerialHeaderSize:]
	for len(src) > 0 {
		if len(src) < 4 {
			return nil, errSnappy
		}
		size := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(size) > uint64(len(src)) {
			return nil, errSnappy
		}
		var err error
		if dst, err = decompressSnappyBlock(dst, src[:size], maxBytes-(len(dst)-start)); err != nil {
			return nil, err
		}
		src = src[size:]
	}
	return dst, nil
}

func decompressSnappyBlock(dst, src []byte, maxBytes int) ([]byte, error) {
	size, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if size > maxBytes {
		return nil, errOverLimit
	}
	if size > snappyMostOfOne*len(src)+snappySlackOfABody {
		return nil, errSnappy
	}
	dst = slices.Grow(dst, size)
	if _, err := s2.Decode(dst[len(dst):len(dst)+size], src); err != nil {
		return nil, err
	}
	return dst[:len(dst)+size], nil
}

func compressSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialHeader...)
	for more := true; more; more = len(src) > 0 { // at least one block: some readers take a header alone for garbage
		block := src[:min(len(src), xerialBlockBytes)]
		src = src[len(block):]
		dst = slices.Grow(dst, 4+s2.MaxEncodedLen(len(block)))
		sizeAt := len(dst)
		encoded := s2.EncodeSnappy(dst[sizeAt+4:cap(dst)], block)
		binary.BigEndian.PutUint32(dst[sizeAt:sizeAt+4], uint32(len(encoded)))
		dst = dst[:sizeAt+4+len(encoded)]
	}
	return dst
}
