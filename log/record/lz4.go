package record

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// The LZ4 frame, little endian:
//
//	magic 04 22 4d 18, flags, block descriptor, [content size 8], [dictionary id 4], header checksum 1,
//	then blocks: size 4 (top bit: stored), bytes, [checksum 4]; size 0 ends the frame; [content checksum 4]
//
// Read and written here rather than by the library's stream types, which copy once more and cost 1.6 times as much.
// The checksums inside are skipped: the CRC of the batch covers every byte of them.
const (
	lz4Magic           = 0x184d2204
	lz4VersionMask     = 0xc0
	lz4Version         = 0x40
	lz4Independent     = 0x20
	lz4BlockChecksum   = 0x10
	lz4ContentSize     = 0x08
	lz4ContentChecksum = 0x04
	lz4DictionaryID    = 0x01
	lz4Stored          = 1 << 31
	lz4BlockBytes      = 64 << 10
	lz4WindowBytes     = 64 << 10
)

// lz4Header is the start of every frame that we write: independent blocks of 64 KiB and no checksums, as Kafka's own
// Java client writes and demands it. The last byte is the checksum of the two before it.
var lz4Header = []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}

var errLZ4 = errors.New("malformed frame")

// lz4Frame is what the header of a frame says.
type lz4Frame struct {
	blockBytes                     int
	independent                    bool
	blockChecksum, contentChecksum bool
}

// parseLZ4Header reads the header of a frame and returns what follows it.
func parseLZ4Header(src []byte) (frame lz4Frame, rest []byte, err error) {
	const fixed = 7 // magic, flags, block descriptor, header checksum
	if len(src) < fixed || binary.LittleEndian.Uint32(src) != lz4Magic {
		return frame, nil, errLZ4
	}
	flags, blockSizeID := src[4], src[5]>>4&7
	if flags&lz4VersionMask != lz4Version || blockSizeID < 4 || flags&lz4DictionaryID != 0 {
		return frame, nil, errLZ4
	}
	size := fixed
	if flags&lz4ContentSize != 0 {
		size += 8
	}
	if len(src) < size {
		return frame, nil, errLZ4
	}
	return lz4Frame{
		blockBytes:      1 << (8 + 2*blockSizeID), // 4: 64 KiB to 7: 4 MiB
		independent:     flags&lz4Independent != 0,
		blockChecksum:   flags&lz4BlockChecksum != 0,
		contentChecksum: flags&lz4ContentChecksum != 0,
	}, src[size:], nil
}

func decompressLZ4(dst, src []byte, maxBytes int) ([]byte, error) {
	frame, src, err := parseLZ4Header(src)
	if err != nil {
		return nil, err
	}
	start := len(dst)
	for {
		if len(src) < 4 {
			return nil, errLZ4
		}
		size := binary.LittleEndian.Uint32(src)
		src = src[4:]
		if size == 0 {
			break
		}
		stored := size&lz4Stored != 0
		size &^= lz4Stored
		if uint64(size) > uint64(len(src)) || int(size) > frame.blockBytes {
			return nil, errLZ4
		}
		block := src[:size]
		src = src[size:]
		if frame.blockChecksum {
			if len(src) < 4 {
				return nil, errLZ4
			}
			src = src[4:]
		}
		if dst, err = frame.decompressBlock(dst, start, block, stored, maxBytes); err != nil {
			return nil, err
		}
	}
	if frame.contentChecksum {
		if len(src) < 4 {
			return nil, errLZ4
		}
		src = src[4:]
	}
	if len(src) != 0 {
		return nil, errLZ4
	}
	return dst, nil
}

// decompressBlock appends one block. Room is made for what the block can hold at most: an LZ4 byte never gives more than 255.
func (frame lz4Frame) decompressBlock(dst []byte, start int, block []byte, stored bool, maxBytes int) ([]byte, error) {
	left := maxBytes - (len(dst) - start)
	if stored {
		if len(block) > left {
			return nil, errOverLimit
		}
		return append(dst, block...), nil
	}
	room := min(frame.blockBytes, 255*len(block)+16)
	dst = slices.Grow(dst, room)
	var window []byte
	if !frame.independent {
		window = dst[max(start, len(dst)-lz4WindowBytes):]
	}
	size, err := lz4.UncompressBlockWithDict(block, dst[len(dst):len(dst)+room], window)
	if err != nil {
		return nil, err
	}
	if size > left {
		return nil, errOverLimit
	}
	return dst[:len(dst)+size], nil
}

var (
	lz4Compressors     = sync.Pool{New: func() any { return new(lz4.Compressor) }}
	lz4HighCompressors = sync.Pool{New: func() any { return new(lz4.CompressorHC) }}
)

// Levels as Kafka counts them (KIP-390): 1 to 17, the default the fast compressor.
const lz4MostLevel = 9

func compressLZ4(level int, dst, src []byte) ([]byte, error) {
	dst = append(dst, lz4Header...)
	for len(src) > 0 {
		block := src[:min(len(src), lz4BlockBytes)]
		src = src[len(block):]
		room := lz4.CompressBlockBound(len(block))
		dst = slices.Grow(dst, 4+room)
		sizeAt := len(dst)
		size, err := compressLZ4Block(level, block, dst[sizeAt+4:sizeAt+4+room])
		if err != nil {
			return dst, err
		}
		header := uint32(size)
		if size == 0 || size >= len(block) { // does not get smaller
			size = copy(dst[sizeAt+4:sizeAt+4+len(block)], block)
			header = uint32(size) | lz4Stored
		}
		binary.LittleEndian.PutUint32(dst[sizeAt:sizeAt+4], header)
		dst = dst[:sizeAt+4+size]
	}
	return append(dst, 0, 0, 0, 0), nil
}

func compressLZ4Block(level int, block, dst []byte) (int, error) {
	if level <= 0 {
		compressor := lz4Compressors.Get().(*lz4.Compressor)
		defer lz4Compressors.Put(compressor)
		return compressor.CompressBlock(block, dst)
	}
	compressor := lz4HighCompressors.Get().(*lz4.CompressorHC)
	defer lz4HighCompressors.Put(compressor)
	compressor.Level = lz4.CompressionLevel(1 << (8 + min(level, lz4MostLevel)))
	return compressor.CompressBlock(block, dst)
}
