package log

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"
)

// putCRC writes the crc-32c of data to dst.
func putCRC(dst, data []byte) { binary.BigEndian.PutUint32(dst, crc32.Checksum(data, castagnoli)) }

// sealed is data with a right crc in place of its last four bytes, so that a fuzzer gets past the check.
func sealed(data []byte) []byte {
	if len(data) < crcSize {
		return data
	}
	data = bytes.Clone(data)
	putCRC(data[len(data)-crcSize:], data[:len(data)-crcSize])
	return data
}

func FuzzOffsetIndex(f *testing.F) {
	f.Add(appendOffsetEntries(nil, []offsetEntry{{3, 100}, {9, 250}}), int64(1000))
	f.Add([]byte{0, 0, 0, 1, 0, 0}, int64(10))
	f.Add(make([]byte, 64), int64(10))
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		entries, ok := parseOffsetEntries(data, size)
		if !ok {
			return
		}
		if !bytes.Equal(appendOffsetEntries(nil, entries), data) {
			t.Fatal("encoding what was decoded gives other bytes")
		}
		for i, e := range entries {
			if int64(e.position) >= size || i > 0 && (e.position <= entries[i-1].position || e.relative <= entries[i-1].relative) {
				t.Fatalf("entry %d: %+v", i, e)
			}
		}
	})
}

func FuzzTimeIndex(f *testing.F) {
	f.Add(appendTimeEntries(nil, []timeEntry{{1000, 3}, {2000, 9}}))
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, ok := parseTimeEntries(data)
		if ok && !bytes.Equal(appendTimeEntries(nil, entries), data) {
			t.Fatal("encoding what was decoded gives other bytes")
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(checkpoint{clean: true, logStart: 5, recovery: place{9, 5, 300}, list: 77}.encode())
	f.Add([]byte("mrcp"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, sealed(data)} {
			c, err := decodeCheckpoint(data)
			if err != nil {
				continue
			}
			again, err := decodeCheckpoint(c.encode())
			if err != nil || again != c {
				t.Fatalf("%+v became %+v, %v", c, again, err)
			}
		}
	})
}

func FuzzSyncMark(f *testing.F) {
	var slots [2 * syncMarkSlotSize]byte
	syncMark{sequence: 4, durable: place{9, 5, 300}, logStart: 5}.encode((*[syncMarkSlotSize]byte)(slots[:]))
	syncMark{sequence: 5, durable: place{12, 5, 400}, logStart: 5, failed: true}.encode((*[syncMarkSlotSize]byte)(slots[syncMarkSlotSize:]))
	f.Add(slots[:])
	f.Add(slots[:700])
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= syncMarkSlotSize {
			data = append(sealed(data[:syncMarkSlotSize]), data[syncMarkSlotSize:]...)
		}
		m, ok, err := decodeSyncMarks(data)
		if err == nil && ok && (!m.durable.sane() || m.logStart < 0) {
			t.Fatalf("took %+v", m)
		}
	})
}

func FuzzProducerSnapshot(f *testing.F) {
	f.Add(someProducers(f).encode())
	f.Add(newProducers().encode())
	f.Add(openProducers(f).encode())
	f.Add(snapshotVersion1)
	f.Add(kafkaSnapshotWithCRC())
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, data := range [][]byte{data, sealed(data)} {
			p, err := decodeProducers(data)
			if err != nil {
				continue
			}
			again, err := decodeProducers(p.encode())
			if err != nil || len(again.entries) != len(p.entries) || !slices.Equal(again.unstable.mu.open, p.unstable.mu.open) {
				t.Fatalf("%d producers became %v, %v", len(p.entries), again, err)
			}
			if !slices.IsSorted(p.unstable.mu.open) || p.unstable.first(0) < 0 {
				t.Fatalf("open transactions %v", p.unstable.mu.open)
			}
		}
		if len(data) > 6 {
			data = bytes.Clone(data)
			putCRC(data[2:], data[6:])
		}
		if p, err := decodeKafkaProducers(data, 1); err == nil {
			p.encode()
		}
	})
}

func FuzzEpochs(f *testing.F) {
	f.Add([]byte("0\n2\n0 0\n3 17\n"))
	f.Add([]byte("0\n1\n0 0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEpochs(data)
		if err != nil {
			return
		}
		again, err := decodeEpochs(e.encode())
		if err != nil || len(again) != len(e) {
			t.Fatalf("%v became %v, %v", e, again, err)
		}
	})
}
