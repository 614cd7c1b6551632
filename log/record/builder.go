package record

import "encoding/binary"

// Producer is the idempotent producer of a batch (KIP-98).
type Producer struct {
	ID           int64
	Epoch        int16
	BaseSequence int32 // of the batch's first record; NoSequence in a marker
}

// Options are the header of a batch. The zero value is an uncompressed batch without a producer.
type Options struct {
	Codec         Codec
	Level         int       // of the codec, 0: its default
	Producer      *Producer // nil: none
	Transactional bool
	Control       bool
}

// Builder builds one batch after the other in its own buffers: after warm-up nothing is allocated per record or batch.
// The zero value is ready; Options may be changed between a Reset and the next Build. Not safe for concurrent use.
type Builder struct {
	Options Options

	plain           []byte // header and records
	packed          []byte // header and compressed records
	count           int32
	baseTimestampMs int64
	maxTimestampMs  int64
}

// NewBuilder returns an empty Builder.
func NewBuilder(options Options) *Builder { return &Builder{Options: options} }

// Reset forgets the records and keeps the Options and the buffers. It invalidates what Build returned.
func (b *Builder) Reset() {
	b.plain, b.count = b.plain[:0], 0
}

// Len is the number of records so far.
func (b *Builder) Len() int { return int(b.count) }

// Size is the size in bytes of the batch so far, before compression; 0 without a record.
func (b *Builder) Size() int { return len(b.plain) }

// Add appends a record. A nil key or value is null, an empty one is empty. Everything is copied.
// The first record's timestamp becomes the batch's base timestamp.
func (b *Builder) Add(timestampMs int64, key, value []byte, headers ...Header) {
	if b.count == 0 {
		b.plain = append(b.plain[:0], make([]byte, HeaderSize)...)
		b.baseTimestampMs, b.maxTimestampMs = timestampMs, timestampMs
	}
	b.maxTimestampMs = max(b.maxTimestampMs, timestampMs)
	timestampDeltaMs, offsetDelta := timestampMs-b.baseTimestampMs, int64(b.count)

	length := 1 + varintSize(timestampDeltaMs) + varintSize(offsetDelta) +
		nullableSize(key) + nullableSize(value) + varintSize(int64(len(headers)))
	for i := range headers {
		length += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) + nullableSize(headers[i].Value)
	}
	dst := appendVarint(b.plain, int64(length))
	dst = append(dst, 0)
	dst = appendVarint(dst, timestampDeltaMs)
	dst = appendVarint(dst, offsetDelta)
	dst = appendNullable(dst, key)
	dst = appendNullable(dst, value)
	dst = appendVarint(dst, int64(len(headers)))
	for i := range headers {
		dst = appendVarint(dst, int64(len(headers[i].Key)))
		dst = append(dst, headers[i].Key...)
		dst = appendNullable(dst, headers[i].Value)
	}
	b.plain = dst
	b.count++
}

// Build returns the batch of the records so far: base offset 0, leader epoch -1, CRC set. It aliases the Builder
// and is valid until the next Add, Build or Reset. Without a record it returns nil. The error is that of the codec.
func (b *Builder) Build() (Batch, error) {
	if b.count == 0 {
		return nil, nil
	}
	batch := Batch(b.plain)
	if b.Options.Codec != None {
		packed, err := Compress(b.Options.Codec, b.Options.Level, append(b.packed[:0], b.plain[:HeaderSize]...), b.plain[HeaderSize:])
		if err != nil {
			return nil, err
		}
		b.packed = packed
		batch = Batch(packed)
	}
	b.putHeader(batch)
	return batch, nil
}

func (b *Builder) putHeader(batch Batch) {
	producer := Producer{ID: NoProducerID, Epoch: noProducerEpoch, BaseSequence: NoSequence}
	if b.Options.Producer != nil {
		producer = *b.Options.Producer
	}
	attributes := uint16(b.Options.Codec)
	if b.Options.Transactional {
		attributes |= transactionalBit
	}
	if b.Options.Control {
		attributes |= controlBit
	}
	batch.SetBaseOffset(0)
	batch.SetPartitionLeaderEpoch(unknownLeaderEpoch)
	batch[magicAt] = magic
	binary.BigEndian.PutUint32(batch[lengthAt:], uint32(len(batch)-lengthEnd))
	binary.BigEndian.PutUint16(batch[attributesAt:], attributes)
	binary.BigEndian.PutUint32(batch[lastOffsetDeltaAt:], uint32(b.count-1))
	binary.BigEndian.PutUint64(batch[baseTimestampAt:], uint64(b.baseTimestampMs))
	binary.BigEndian.PutUint64(batch[producerIDAt:], uint64(producer.ID))
	binary.BigEndian.PutUint16(batch[producerEpochAt:], uint16(producer.Epoch))
	binary.BigEndian.PutUint32(batch[baseSequenceAt:], uint32(producer.BaseSequence))
	binary.BigEndian.PutUint32(batch[countAt:], uint32(b.count))
	batch.SetMaxTimestampMs(b.maxTimestampMs) // and the CRC over all of it
}

func nullableSize(field []byte) int {
	if field == nil {
		return 1
	}
	return varintSize(int64(len(field))) + len(field)
}

func appendNullable(dst, field []byte) []byte {
	if field == nil {
		return append(dst, 1) // -1
	}
	return append(appendVarint(dst, int64(len(field))), field...)
}
