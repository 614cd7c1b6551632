package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

// A .producers file is the state of all producers below the offset in its name, big-endian:
//
//	+-----------+-------------+------------+--------------------------------------------+-------------+
//	| magic u32 | version u16 | count  u32 | count entries                              | crc-32c u32 |
//	+-----------+-------------+------------+--------------------------------------------+-------------+
//
// The CRC is of all before it. An entry is
//
//	id i64, epoch i16, last active ms i64, coordinator epoch i32, first offset of the open transaction i64, batches u8,
//	per batch, oldest first: first sequence i32, last sequence i32, last offset i64, offset delta i32, timestamp ms i64
//
// Kafka's own .snapshot has room for the last batch only, which loses four fifths of the window in a restart
// (docs/decisions/0011). It is read where a copied directory has one, and never written.
const (
	snapshotMagic        = 0x6d727073 // "mrps"
	snapshotVersion      = 2
	snapshotHeaderSize   = 4 + 2 + 4
	snapshotEntrySize    = 8 + 2 + 8 + 1 // of version 1: the least
	snapshotTxnSize      = 4 + 8         // more in version 2
	snapshotBatchSize    = 4 + 4 + 8 + 4 + 8
	crcSize              = 4
	kafkaSnapshotVersion = 1
	kafkaSnapshotHeader  = 2 + 4 + 4
	kafkaSnapshotEntry   = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errSnapshot: the bytes are no snapshot.
var errSnapshot = errors.New("producer snapshot is damaged")

// encode returns the content of a .producers file, the producers in order of their ids.
func (p *producers) encode() []byte {
	dst := binary.BigEndian.AppendUint32(nil, snapshotMagic)
	dst = binary.BigEndian.AppendUint16(dst, snapshotVersion)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.entries)))
	for _, id := range slices.Sorted(maps.Keys(p.entries)) {
		e := p.entries[id]
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.id))
		dst = binary.BigEndian.AppendUint16(dst, uint16(e.epoch))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.lastActiveMs))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.coordinatorEpoch))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.txnFirst))
		dst = append(dst, byte(e.count))
		for _, b := range e.batches[:e.count] {
			dst = binary.BigEndian.AppendUint32(dst, uint32(b.firstSequence))
			dst = binary.BigEndian.AppendUint32(dst, uint32(b.lastSequence))
			dst = binary.BigEndian.AppendUint64(dst, uint64(b.lastOffset))
			dst = binary.BigEndian.AppendUint32(dst, uint32(b.offsetDelta))
			dst = binary.BigEndian.AppendUint64(dst, uint64(b.timestampMs))
		}
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// decodeProducers is the inverse of encode. It returns errSnapshot or ErrNewerFormat.
func decodeProducers(data []byte) (*producers, error) {
	if len(data) < snapshotHeaderSize+crcSize || binary.BigEndian.Uint32(data) != snapshotMagic {
		return nil, fmt.Errorf("%w: %d bytes without its header", errSnapshot, len(data))
	}
	body := data[:len(data)-crcSize]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(data[len(body):]) {
		return nil, fmt.Errorf("%w: crc does not match", errSnapshot)
	}
	version := binary.BigEndian.Uint16(data[4:])
	switch {
	case version == 0:
		return nil, fmt.Errorf("%w: version 0", errSnapshot)
	case version > snapshotVersion:
		return nil, fmt.Errorf("producer snapshot version %d, at most %d is known: %w", version, snapshotVersion, ErrNewerFormat)
	}
	count := binary.BigEndian.Uint32(data[6:])
	p, rest := newProducers(), body[snapshotHeaderSize:]
	for range count {
		e, after, ok := decodeProducer(rest, version)
		if !ok || p.entries[e.id] != nil {
			return nil, fmt.Errorf("%w: entry %d of %d", errSnapshot, len(p.entries), count)
		}
		p.entries[e.id], rest = e, after
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%w: %d bytes after the last of %d entries", errSnapshot, len(rest), count)
	}
	p.resume()
	return p, nil
}

func decodeProducer(data []byte, version uint16) (e *producerEntry, rest []byte, ok bool) {
	if least := snapshotEntrySize + snapshotTxnSize; len(data) < least && (version > 1 || len(data) < snapshotEntrySize) {
		return nil, nil, false
	}
	e = newProducerEntry(int64(binary.BigEndian.Uint64(data)), int16(binary.BigEndian.Uint16(data[8:])))
	e.lastActiveMs = int64(binary.BigEndian.Uint64(data[10:]))
	data = data[18:]
	if version >= 2 {
		e.coordinatorEpoch = int32(binary.BigEndian.Uint32(data))
		e.txnFirst = int64(binary.BigEndian.Uint64(data[4:]))
		data = data[snapshotTxnSize:]
	}
	if e.txnFirst < noTransaction {
		return nil, nil, false
	}
	batches := int(data[0])
	rest = data[1:]
	if batches > dedupeWindow || len(rest) < batches*snapshotBatchSize {
		return nil, nil, false
	}
	for range batches {
		e.add(producedBatch{
			firstSequence: int32(binary.BigEndian.Uint32(rest)),
			lastSequence:  int32(binary.BigEndian.Uint32(rest[4:])),
			lastOffset:    int64(binary.BigEndian.Uint64(rest[8:])),
			offsetDelta:   int32(binary.BigEndian.Uint32(rest[16:])),
			timestampMs:   int64(binary.BigEndian.Uint64(rest[20:])),
		})
		rest = rest[snapshotBatchSize:]
	}
	return e, rest, true
}

// decodeKafkaProducers reads a .snapshot file of Kafka (ProducerStateManager): version i16, crc-32c u32 of what
// follows, an array of entries with the last batch of each producer. Whoever is in it counts as active at nowMs.
func decodeKafkaProducers(data []byte, nowMs int64) (*producers, error) {
	if len(data) < kafkaSnapshotHeader || binary.BigEndian.Uint16(data) != kafkaSnapshotVersion {
		return nil, fmt.Errorf("%w: %d bytes without the header of version %d", errSnapshot, len(data), kafkaSnapshotVersion)
	}
	if crc32.Checksum(data[6:], castagnoli) != binary.BigEndian.Uint32(data[2:]) {
		return nil, fmt.Errorf("%w: crc does not match", errSnapshot)
	}
	count, rest := binary.BigEndian.Uint32(data[6:]), data[kafkaSnapshotHeader:]
	if uint64(len(rest)) != uint64(count)*kafkaSnapshotEntry {
		return nil, fmt.Errorf("%w: %d bytes for %d entries", errSnapshot, len(rest), count)
	}
	p := newProducers()
	for ; len(rest) > 0; rest = rest[kafkaSnapshotEntry:] {
		e := newProducerEntry(int64(binary.BigEndian.Uint64(rest)), int16(binary.BigEndian.Uint16(rest[8:])))
		e.lastActiveMs = nowMs
		e.coordinatorEpoch = int32(binary.BigEndian.Uint32(rest[34:]))
		if e.txnFirst = int64(binary.BigEndian.Uint64(rest[38:])); e.txnFirst < noTransaction {
			return nil, fmt.Errorf("%w: producer %d has a transaction open from offset %d on", errSnapshot, e.id, e.txnFirst)
		}
		lastSequence := int32(binary.BigEndian.Uint32(rest[10:]))
		offsetDelta := int32(binary.BigEndian.Uint32(rest[22:]))
		if lastSequence >= 0 && offsetDelta >= 0 {
			e.add(producedBatch{
				firstSequence: sequenceBefore(lastSequence, offsetDelta),
				lastSequence:  lastSequence,
				lastOffset:    int64(binary.BigEndian.Uint64(rest[14:])),
				offsetDelta:   offsetDelta,
				timestampMs:   int64(binary.BigEndian.Uint64(rest[26:])),
			})
		}
		p.entries[e.id] = e
	}
	p.resume()
	return p, nil
}

// sequenceBefore is the sequence that lies delta before the given one; 2^31-1 comes before 0.
func sequenceBefore(sequence, delta int32) int32 {
	if sequence >= delta {
		return sequence - delta
	}
	return int32(int64(sequence) - int64(delta) + 1<<31)
}
