package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// millrace.checkpoint is what must survive of a log beside its batches, big-endian, replaced as a whole:
//
//	+-----------+-------------+-----------+---------------+--------------+-------------+--------------+----------+
//	| magic u32 | version u16 | flags u16 | log start i64 | recovery i64 | segment i64 | position i64 | list u32 |
//	+-----------+-------------+-----------+---------------+--------------+-------------+--------------+----------+
//	| crc-32c u32 |
//	+-------------+
//
// All below the recovery offset is durable; it lies at position of the segment. With the flag clean, the log ends
// there, its files are complete, and list sums up their names and sizes.
const (
	checkpointMagic   = 0x6d726370 // "mrcp"
	checkpointVersion = 1
	checkpointSize    = 4 + 2 + 2 + 8 + 8 + 8 + 8 + 4 + crcSize
	cleanFlag         = 1 << 0
)

// errCheckpoint: the bytes are no checkpoint.
var errCheckpoint = errors.New("checkpoint is damaged")

type checkpoint struct {
	clean    bool
	logStart int64
	recovery place
	list     uint32 // listSum of the segments
}

// place is a batch boundary.
type place struct {
	offset   int64 // of the next batch
	segment  int64 // base offset
	position int64 // in the segment's file
}

func (c checkpoint) encode() []byte {
	var flags uint16
	if c.clean {
		flags |= cleanFlag
	}
	dst := make([]byte, 0, checkpointSize)
	dst = binary.BigEndian.AppendUint32(dst, checkpointMagic)
	dst = binary.BigEndian.AppendUint16(dst, checkpointVersion)
	dst = binary.BigEndian.AppendUint16(dst, flags)
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.logStart))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.recovery.offset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.recovery.segment))
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.recovery.position))
	dst = binary.BigEndian.AppendUint32(dst, c.list)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// decodeCheckpoint is the inverse of encode. It returns errCheckpoint or ErrNewerFormat.
func decodeCheckpoint(data []byte) (checkpoint, error) {
	if len(data) < 6+crcSize || binary.BigEndian.Uint32(data) != checkpointMagic {
		return checkpoint{}, fmt.Errorf("%w: %d bytes without its header", errCheckpoint, len(data))
	}
	body := data[:len(data)-crcSize]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(data[len(body):]) {
		return checkpoint{}, fmt.Errorf("%w: crc does not match", errCheckpoint)
	}
	if version := binary.BigEndian.Uint16(data[4:]); version > checkpointVersion {
		return checkpoint{}, fmt.Errorf("checkpoint version %d, at most %d is known: %w", version, checkpointVersion, ErrNewerFormat)
	}
	if len(data) != checkpointSize {
		return checkpoint{}, fmt.Errorf("%w: %d bytes, not %d", errCheckpoint, len(data), checkpointSize)
	}
	c := checkpoint{
		clean:    binary.BigEndian.Uint16(data[6:])&cleanFlag != 0,
		logStart: int64(binary.BigEndian.Uint64(data[8:])),
		recovery: place{
			offset:   int64(binary.BigEndian.Uint64(data[16:])),
			segment:  int64(binary.BigEndian.Uint64(data[24:])),
			position: int64(binary.BigEndian.Uint64(data[32:])),
		},
		list: binary.BigEndian.Uint32(data[40:]),
	}
	if c.logStart < 0 || !c.recovery.sane() {
		return checkpoint{}, fmt.Errorf("%w: log start %d, recovery point %+v", errCheckpoint, c.logStart, c.recovery)
	}
	return c, nil
}

func (p place) sane() bool { return p.segment >= 0 && p.position >= 0 && p.offset >= p.segment }

// listSum sums up which segments there are and how long they are.
func listSum(segments []*segment) uint32 {
	var dst []byte
	for _, s := range segments {
		dst = binary.BigEndian.AppendUint64(dst, uint64(s.base))
		dst = binary.BigEndian.AppendUint64(dst, uint64(s.size.Load()))
	}
	return crc32.Checksum(dst, castagnoli)
}
