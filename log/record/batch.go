package record

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// HeaderSize is the number of bytes before the first record of a batch.
const HeaderSize = 61

// Offsets of the header's fields; doc.go has the table.
const (
	lengthAt          = 8
	leaderEpochAt     = 12
	magicAt           = 16
	crcAt             = 17
	attributesAt      = 21
	lastOffsetDeltaAt = 23
	baseTimestampAt   = 27
	maxTimestampAt    = 35
	producerIDAt      = 43
	producerEpochAt   = 51
	baseSequenceAt    = 53
	countAt           = 57

	lengthEnd = 12 // what the length field does not count
	magic     = 2
)

// Bits of the attributes.
const (
	codecMask           = 0x07
	logAppendTimeBit    = 0x08
	transactionalBit    = 0x10
	controlBit          = 0x20
	deleteHorizonBit    = 0x40
	NoProducerID        = -1 // ProducerID of a batch without a producer
	NoSequence          = -1 // BaseSequence of a batch without a sequence
	NoTimestamp         = -1 // a timestamp that is not known
	noProducerEpoch     = -1
	unknownLeaderEpoch  = -1
	sequenceWrapsBeyond = math.MaxInt32
)

// TimestampType says who wrote the timestamps of a batch.
type TimestampType int8

const (
	CreateTime    TimestampType = 0 // the producer
	LogAppendTime TimestampType = 1 // the broker, at append
)

// String is the value of message.timestamp.type.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is exactly one record batch, from its base offset to its last byte.
// It is a view: whoever owns the bytes owns the batch. Accessors panic on fewer than HeaderSize bytes,
// so take a Batch from [Next] or a [Builder], and from foreign bytes in no other way.
type Batch []byte

func (b Batch) int16At(at int) int16 { return int16(binary.BigEndian.Uint16(b[at:])) }
func (b Batch) int32At(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
func (b Batch) int64At(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }

// BaseOffset is the offset of the first record, 0 in a batch from a producer.
func (b Batch) BaseOffset() int64 { return b.int64At(0) }

// LastOffset is the offset of the last record as produced; compaction may have removed that record.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset after the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// PartitionLeaderEpoch is the epoch of the leader that appended the batch, -1 before that.
func (b Batch) PartitionLeaderEpoch() int32 { return b.int32At(leaderEpochAt) }

// Magic is the format of the batch, always 2 for a Batch from Next.
func (b Batch) Magic() int8 { return int8(b[magicAt]) }

// CRC is the stored CRC-32C, whether it matches or not.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[crcAt:]) }

// Attributes are the raw attribute bits.
func (b Batch) Attributes() int16 { return b.int16At(attributesAt) }

// Codec is how the payload is compressed. It may be a codec that nobody knows: see Codec.Known.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & codecMask) }

// TimestampType says whether the producer or the broker wrote the timestamps.
func (b Batch) TimestampType() TimestampType {
	return TimestampType(b.Attributes() & logAppendTimeBit >> 3)
}

// IsTransactional says whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b.Attributes()&transactionalBit != 0 }

// IsControl says whether the record is one for brokers and clients, such as a transaction marker, not for applications.
func (b Batch) IsControl() bool { return b.Attributes()&controlBit != 0 }

// HasDeleteHorizon says whether the base timestamp is the time at which compaction may remove tombstones (KIP-534).
func (b Batch) HasDeleteHorizon() bool { return b.Attributes()&deleteHorizonBit != 0 }

// LastOffsetDelta is LastOffset - BaseOffset.
func (b Batch) LastOffsetDelta() int32 { return b.int32At(lastOffsetDeltaAt) }

// BaseTimestampMs is what the timestamp deltas of the records add to.
func (b Batch) BaseTimestampMs() int64 { return b.int64At(baseTimestampAt) }

// MaxTimestampMs is the greatest timestamp of the batch, or the append time under LogAppendTime.
func (b Batch) MaxTimestampMs() int64 { return b.int64At(maxTimestampAt) }

// ProducerID is the producer of an idempotent batch, -1 if there is none.
func (b Batch) ProducerID() int64 { return b.int64At(producerIDAt) }

// ProducerEpoch is the epoch of the producer, -1 if there is none.
func (b Batch) ProducerEpoch() int16 { return b.int16At(producerEpochAt) }

// BaseSequence is the producer's sequence number of the first record, -1 if there is none.
func (b Batch) BaseSequence() int32 { return b.int32At(baseSequenceAt) }

// LastSequence is the sequence number of the last record, -1 if there is none. Sequences go from 2^31-1 to 0.
func (b Batch) LastSequence() int32 {
	base := b.BaseSequence()
	if base == NoSequence {
		return NoSequence
	}
	return AddSequence(base, b.LastOffsetDelta())
}

// AddSequence is the sequence number increment records after sequence; both are 0 or more.
func AddSequence(sequence, increment int32) int32 {
	if sequence > sequenceWrapsBeyond-increment {
		return increment - (sequenceWrapsBeyond - sequence) - 1
	}
	return sequence + increment
}

// Count is the number of records that the header claims. Compaction may leave fewer than LastOffsetDelta+1, even none.
func (b Batch) Count() int32 { return b.int32At(countAt) }

// Payload is the records as stored, maybe compressed. It aliases b.
func (b Batch) Payload() []byte { return b[HeaderSize:] }

// SetBaseOffset patches the base offset; the CRC does not cover it.
func (b Batch) SetBaseOffset(offset int64) { binary.BigEndian.PutUint64(b, uint64(offset)) }

// SetPartitionLeaderEpoch patches the leader epoch; the CRC does not cover it.
func (b Batch) SetPartitionLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[leaderEpochAt:], uint32(epoch))
}

// SetLogAppendTime makes ms the timestamp of every record and corrects the CRC.
func (b Batch) SetLogAppendTime(ms int64) {
	binary.BigEndian.PutUint16(b[attributesAt:], uint16(b.Attributes()|logAppendTimeBit))
	b.SetMaxTimestampMs(ms)
}

// SetMaxTimestampMs patches the greatest timestamp and corrects the CRC.
func (b Batch) SetMaxTimestampMs(ms int64) {
	binary.BigEndian.PutUint64(b[maxTimestampAt:], uint64(ms))
	binary.BigEndian.PutUint32(b[crcAt:], b.computeCRC())
}

func (b Batch) computeCRC() uint32 { return crc32.Checksum(b[attributesAt:], castagnoli) }
