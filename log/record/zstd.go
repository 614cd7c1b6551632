package record

import (
	"errors"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Zstandard (KIP-110). Before anything is decoded its block headers are walked: they say honestly what the input can
// become at most, whatever size the frame declares. A decoder writes no further than the capacity that it is given;
// that doubles until the output fits or the bound is reached.
const (
	zstdMaxWindowBytes = 128 << 20 // what the reference library accepts by default
	zstdBlockBytes     = 128 << 10 // what one block can become at most
	zstdLeastGuess     = 64 << 10
	zstdGuessRatio     = 8 // of plain to compressed bytes, before the first attempt
	zstdChecksumSize   = 4
)

var errZstd = errors.New("malformed frame")

var zstdDecoders = sync.Pool{New: func() any {
	decoder, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), // starts no goroutine
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdMaxWindowBytes),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("options of the zstd decoder: " + err.Error())
	}
	return decoder
}}

func decompressZstd(dst, src []byte, maxBytes int) ([]byte, error) {
	upper, err := zstdUpperBound(src)
	if err != nil {
		return nil, err
	}
	decoder := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(decoder)
	most := min(upper, maxBytes)
	for room := min(max(zstdGuessRatio*len(src), zstdLeastGuess), most); ; room = min(2*room, most) {
		grown := slices.Grow(dst, room)
		room = min(cap(grown)-len(dst), most)
		out, err := decoder.DecodeAll(src, grown[:len(dst):len(dst)+room])
		switch {
		case err == nil:
			return out, nil
		case room < most: // whatever the error, it may come from the capacity
			continue
		case upper > maxBytes:
			return nil, errOverLimit
		default:
			return nil, err
		}
	}
}

// zstdUpperBound adds up what the blocks of all frames can become at most.
func zstdUpperBound(src []byte) (int, error) {
	total := 0
	for len(src) > 0 {
		var header zstd.Header
		rest, err := header.DecodeAndStrip(src)
		if err != nil {
			return 0, err
		}
		if header.Skippable {
			if uint64(header.SkippableSize) > uint64(len(rest)) {
				return 0, errZstd
			}
			src = rest[header.SkippableSize:]
			continue
		}
		size, rest, err := zstdBlocksBound(rest)
		if err != nil {
			return 0, err
		}
		if header.HasCheckSum {
			if len(rest) < zstdChecksumSize {
				return 0, errZstd
			}
			rest = rest[zstdChecksumSize:]
		}
		total, src = total+size, rest
	}
	return total, nil
}

// zstdBlocksBound walks the blocks of one frame. A block's header has 3 bytes, little endian:
// bit 0 the last one, bits 1-2 the type (raw, one repeated byte, compressed), the rest its size.
func zstdBlocksBound(src []byte) (total int, rest []byte, err error) {
	for {
		if len(src) < 3 {
			return 0, nil, errZstd
		}
		header := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
		src = src[3:]
		stored, size := header>>3, header>>3
		switch header >> 1 & 3 {
		case 0:
		case 1:
			stored = 1
		case 2:
			size = zstdBlockBytes
		default:
			return 0, nil, errZstd
		}
		if stored > len(src) || size > zstdBlockBytes {
			return 0, nil, errZstd
		}
		total, src = total+size, src[stored:]
		if header&1 != 0 {
			return total, src, nil
		}
	}
}

// zstdEncoders has a pool for every level of the library.
var zstdEncoders [zstd.SpeedBestCompression + 1]sync.Pool

func compressZstd(level int, dst, src []byte) ([]byte, error) {
	encoderLevel := zstd.SpeedDefault
	if level != 0 {
		encoderLevel = zstd.EncoderLevelFromZstd(level)
	}
	encoder, ok := zstdEncoders[encoderLevel].Get().(*zstd.Encoder)
	if !ok {
		var err error
		encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(encoderLevel),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderCRC(false), // the CRC of the batch covers the frame
			zstd.WithZeroFrames(true))
		if err != nil {
			return dst, err
		}
	}
	defer zstdEncoders[encoderLevel].Put(encoder)
	return encoder.EncodeAll(src, dst), nil
}
