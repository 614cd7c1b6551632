package log

import (
	"encoding/binary"
	"sort"
	"sync/atomic"
)

// An .index file is a row of entries in Kafka's format (OffsetIndex), big-endian:
//
//	+-----------------------------------+--------------------------------+
//	| last offset of a batch - base i32 | position of the batch      i32 |
//	+-----------------------------------+--------------------------------+
//
// A .timeindex file is one of (TimeIndex):
//
//	+-----------------------------------+--------------------------------+
//	| largest timestamp so far      i64 | last offset of its batch - base i32 |
//	+-----------------------------------+--------------------------------+
//
// Both are hints: whatever they say is checked against the batches before it is believed.
const (
	offsetEntrySize = 8
	timeEntrySize   = 12
)

type offsetEntry struct {
	relative int32 // last offset of the batch, less the segment's base
	position int32 // where the batch begins
}

type timeEntry struct {
	timestampMs int64
	relative    int32 // last offset of the batch that has it, less the segment's base
}

// table is a list that one goroutine appends to while others read it without a lock.
type table[T any] struct {
	entries atomic.Pointer[[]T] // entries[:count] never change
	count   atomic.Int64
}

const tableFirstCapacity = 64

func newTable[T any](entries []T) *table[T] {
	t := new(table[T])
	t.entries.Store(&entries)
	t.count.Store(int64(len(entries)))
	return t
}

// append is called by the owner only. It allocates when the capacity doubles.
func (t *table[T]) append(e T) {
	n := int(t.count.Load())
	entries := *t.entries.Load()
	if n == len(entries) {
		grown := make([]T, max(tableFirstCapacity, 2*n))
		copy(grown, entries)
		t.entries.Store(&grown)
		entries = grown
	}
	entries[n] = e
	t.count.Store(int64(n + 1))
}

// all returns what was appended so far. The caller must not change it.
func (t *table[T]) all() []T {
	// The count first: the entries loaded after it have at least that many.
	n := t.count.Load()
	return (*t.entries.Load())[:n]
}

func (t *table[T]) len() int { return int(t.count.Load()) }

// last returns the newest entry.
func (t *table[T]) last() (e T, ok bool) {
	entries := t.all()
	if len(entries) == 0 {
		return e, false
	}
	return entries[len(entries)-1], true
}

// countFloorOffset is how many entries are of batches that end at or before the offset.
func countFloorOffset(entries []offsetEntry, relative int64) int {
	return sort.Search(len(entries), func(i int) bool { return int64(entries[i].relative) > relative })
}

// floorOffset returns the last entry whose batch ends at or before the offset.
func floorOffset(entries []offsetEntry, relative int64) (offsetEntry, bool) {
	n := countFloorOffset(entries, relative)
	if n == 0 {
		return offsetEntry{}, false
	}
	return entries[n-1], true
}

// floorPosition returns the last entry whose batch begins at or before the position.
func floorPosition(entries []offsetEntry, position int64) (offsetEntry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return int64(entries[i].position) > position })
	if i == 0 {
		return offsetEntry{}, false
	}
	return entries[i-1], true
}

// floorTime returns the last entry whose timestamp is at most timestampMs.
func floorTime(entries []timeEntry, timestampMs int64) (timeEntry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return entries[i].timestampMs > timestampMs })
	if i == 0 {
		return timeEntry{}, false
	}
	return entries[i-1], true
}

func appendOffsetEntries(dst []byte, entries []offsetEntry) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.relative))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.position))
	}
	return dst
}

func appendTimeEntries(dst []byte, entries []timeEntry) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.timestampMs))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.relative))
	}
	return dst
}

// parseOffsetEntries returns the entries of an .index file. ok is false if they cannot be those of a segment of
// size bytes: not whole, not strictly ascending in both columns, or beyond the end.
func parseOffsetEntries(data []byte, size int64) (entries []offsetEntry, ok bool) {
	if len(data)%offsetEntrySize != 0 {
		return nil, false
	}
	entries = make([]offsetEntry, 0, len(data)/offsetEntrySize)
	previous := offsetEntry{relative: -1, position: -1}
	for at := 0; at < len(data); at += offsetEntrySize {
		e := offsetEntry{
			relative: int32(binary.BigEndian.Uint32(data[at:])),
			position: int32(binary.BigEndian.Uint32(data[at+4:])),
		}
		if e.relative <= previous.relative || e.position <= previous.position || int64(e.position) >= size {
			return nil, false
		}
		entries, previous = append(entries, e), e
	}
	return entries, true
}

// parseTimeEntries is parseOffsetEntries for a .timeindex file.
func parseTimeEntries(data []byte) (entries []timeEntry, ok bool) {
	if len(data)%timeEntrySize != 0 {
		return nil, false
	}
	entries = make([]timeEntry, 0, len(data)/timeEntrySize)
	for at := 0; at < len(data); at += timeEntrySize {
		e := timeEntry{
			timestampMs: int64(binary.BigEndian.Uint64(data[at:])),
			relative:    int32(binary.BigEndian.Uint32(data[at+8:])),
		}
		if e.timestampMs < 0 || e.relative < 0 {
			return nil, false
		}
		if n := len(entries); n > 0 && (e.timestampMs <= entries[n-1].timestampMs || e.relative <= entries[n-1].relative) {
			return nil, false
		}
		entries = append(entries, e)
	}
	return entries, true
}
