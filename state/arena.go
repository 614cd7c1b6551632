package state

import "encoding/binary"

const (
	arenaChunkBytes  = 1 << 20 // larger entries get a chunk of their own
	entryHeaderBytes = 8       // lengths of the key and the value
	timestampBytes   = 8
	deletedBit       = 1 << 31
)

// arena keeps encoded changes from when they are handed out for the changelog until Pebble has them. It hands out references, so that
// what points to a change is no pointer for the collector.
type arena struct {
	chunks [][]byte // all but the last are full
	spare  [][]byte // to be used again
	bytes  int64
}

// changeRef is where a change lies in the arena; 0 is none.
type changeRef uint64

// change is one encoded change, as it was made.
//
//	lengths | key in Pebble | suffix | timestamp | value
//
// The key in the changelog is the one in Pebble without the overlay's prefix, and with its suffix.
type change struct {
	key     []byte // in Pebble
	value   []byte // in Pebble: the timestamp and the value; of a deletion the timestamp only
	deleted bool
}

// reserve returns room for a change that begins at ref: what is appended to it has to be given to keep.
func (a *arena) reserve() (room []byte, ref changeRef) {
	if len(a.chunks) == 0 {
		a.grow(0)
	}
	last := len(a.chunks) - 1
	used := len(a.chunks[last])
	return a.chunks[last][used:used:cap(a.chunks[last])], makeRef(last, used)
}

// keep takes what was appended to the room that reserve gave last. If it did not fit there, it moves, and with it its reference.
func (a *arena) keep(encoded []byte, ref changeRef) ([]byte, changeRef) {
	a.bytes += int64(len(encoded))
	last := len(a.chunks) - 1
	used := len(a.chunks[last])
	if used+len(encoded) <= cap(a.chunks[last]) {
		a.chunks[last] = a.chunks[last][:used+len(encoded)]
		return encoded, ref
	}
	a.grow(len(encoded))
	last = len(a.chunks) - 1
	a.chunks[last] = append(a.chunks[last], encoded...)
	return a.chunks[last], makeRef(last, 0)
}

func (a *arena) grow(least int) {
	if n := len(a.spare); n > 0 && least <= arenaChunkBytes {
		a.chunks = append(a.chunks, a.spare[n-1])
		a.spare = a.spare[:n-1]
		return
	}
	a.chunks = append(a.chunks, make([]byte, 0, max(least, arenaChunkBytes)))
}

// reset forgets all changes and keeps the memory.
func (a *arena) reset() {
	for _, chunk := range a.chunks {
		if cap(chunk) == arenaChunkBytes {
			a.spare = append(a.spare, chunk[:0])
		}
	}
	a.chunks, a.bytes = a.chunks[:0], 0
}

func (a *arena) at(ref changeRef) change {
	chunk, offset := ref.place()
	data := a.chunks[chunk][offset:]
	keyBytes := binary.LittleEndian.Uint32(data)
	valueBytes := binary.LittleEndian.Uint32(data[4:])
	suffixBytes := int(keyBytes >> 28)
	keyEnd := entryHeaderBytes + int(keyBytes&(1<<28-1))
	valueStart := keyEnd + suffixBytes
	return change{
		key:     data[entryHeaderBytes:keyEnd],
		value:   data[valueStart : valueStart+int(valueBytes&^deletedBit)],
		deleted: valueBytes&deletedBit != 0,
	}
}

func makeRef(chunk, offset int) changeRef { return changeRef(chunk+1)<<32 | changeRef(offset) }

func (r changeRef) place() (chunk, offset int) { return int(r>>32) - 1, int(uint32(r)) }
