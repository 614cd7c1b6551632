package state

import "encoding/binary"

const (
	longChunkBytesMin = 256 // of the first chunk; each further one is twice as large, eight times
	longDoublings     = 8
	longWasteMin      = 1 << 20 // less is not worth the work
)

// longKeys keeps the keys that do not fit into a slot, which has their place instead.
type longKeys struct {
	chunks [][]byte
	total  int64
	waste  int64
}

func (l *longKeys) at(place *[inlineKeyMax]byte, keyBytes uint32) []byte {
	chunk, offset := binary.LittleEndian.Uint32(place[:]), binary.LittleEndian.Uint32(place[4:])
	return l.chunks[chunk][offset : offset+keyBytes]
}

func (l *longKeys) put(place *[inlineKeyMax]byte, key []byte) {
	last := len(l.chunks) - 1
	if last < 0 || len(l.chunks[last])+len(key) > cap(l.chunks[last]) {
		size := longChunkBytesMin << min(len(l.chunks), longDoublings)
		l.chunks = append(l.chunks, make([]byte, 0, max(size, len(key))))
		last++
	}
	binary.LittleEndian.PutUint32(place[:], uint32(last))
	binary.LittleEndian.PutUint32(place[4:], uint32(len(l.chunks[last])))
	l.chunks[last] = append(l.chunks[last], key...)
	l.total += int64(len(key))
}

func (l *longKeys) drop(keyBytes uint32) { l.waste += int64(keyBytes) }

func (l *longKeys) wasteful() bool { return l.waste > longWasteMin && 2*l.waste > l.total }
