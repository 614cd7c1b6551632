package state

import (
	"hash/maphash"
	"math/bits"
	"unsafe"
)

const (
	inlineKeyMax   = 31 // longer keys lie outside of their slot
	chunkSlotsMin  = 8  // of the first chunk; each further one has twice as many, seven times
	chunkDoublings = 7
	chunkSlotsMax  = chunkSlotsMin << chunkDoublings
	indexShare     = 12 // bytes of the index for a slot
)

// slot is a key and its value in memory. It holds no pointer but those of V, so a table of numbers costs the collector nothing, and with
// a value of 8 bytes it is one line of the processor's cache.
type slot[V any] struct {
	value       V
	timestampMs int64
	pending     changeRef // what is committed and not yet in Pebble; 0: nothing
	keyBytes    uint32
	valueBytes  uint32 // encoded, when last seen
	inline      [inlineKeyMax]byte
	state       slotState
}

type slotState uint8

const (
	slotUsed     slotState = 1 << iota
	slotPresent            // the key has a value
	slotDirty              // changed since the last Changes
	slotPrepared           // given out by Changes, not yet committed
	slotRecent             // used since the hand of eviction came by
)

// table finds slots by key: an index over chunks of slots that never move. Slot i of chunk c has the number c*chunkSlotsMax+i, though
// the first chunks are smaller: a table of five keys, of which a store of windows has thousands, takes 1 KiB.
type table[V any] struct {
	seed   maphash.Seed
	index  slotIndex
	chunks [][]slot[V]
	count  int      // slots in use
	room   int      // slots of all chunks
	unused int      // slots of the last chunk that were never in use
	free   []uint32 // slots given back
	long   longKeys
	warmed uint32 // what warm has read, so that it is read
}

func newTable[V any]() table[V] {
	return table[V]{seed: maphash.MakeSeed(), index: newSlotIndex(groupsMin)}
}

func (t *table[V]) at(n uint32) *slot[V] { return &t.chunks[n/chunkSlotsMax][n%chunkSlotsMax] }

func (t *table[V]) hash(key []byte) uint64 { return maphash.Bytes(t.seed, key) }

// find returns the number of key's slot.
func (t *table[V]) find(key []byte, hash uint64) (n uint32, found bool) {
	tag := tagOf(hash)
	for at := t.index.home(hash); ; at = t.index.after(at) {
		group := &t.index.groups[at]
		for matches := group.match(tag); matches != 0; matches &= matches - 1 {
			n := group.slots[bits.TrailingZeros64(matches)/8]
			if string(t.key(t.at(n))) == string(key) {
				return n, true
			}
		}
		if group.hasEmpty() {
			return 0, false
		}
	}
}

// key returns the bytes of a slot's key, valid until the next insert or remove.
func (t *table[V]) key(s *slot[V]) []byte {
	if s.keyBytes <= inlineKeyMax {
		return s.inline[:s.keyBytes]
	}
	return t.long.at(&s.inline, s.keyBytes)
}

// insert returns a new slot for a key that is not in the table.
func (t *table[V]) insert(key []byte, hash uint64) uint32 {
	if t.index.full() {
		t.rebuild()
	}
	n := t.take()
	s := t.at(n)
	s.keyBytes = uint32(len(key))
	if len(key) <= inlineKeyMax {
		copy(s.inline[:], key)
	} else {
		t.long.put(&s.inline, key)
	}
	t.index.insert(hash, n)
	s.state = slotUsed
	t.count++
	return n
}

func (t *table[V]) take() uint32 {
	if last := len(t.free) - 1; last >= 0 {
		n := t.free[last]
		t.free = t.free[:last]
		return n
	}
	if t.unused == 0 {
		t.unused = chunkSlotsMin << min(len(t.chunks), chunkDoublings)
		t.room += t.unused
		t.chunks = append(t.chunks, make([]slot[V], t.unused))
	}
	last := len(t.chunks) - 1
	n := last*chunkSlotsMax + len(t.chunks[last]) - t.unused
	t.unused--
	return uint32(n)
}

// after returns the number of the slot behind n, whether it is in use or not; 0 behind the last one.
func (t *table[V]) after(n uint32) uint32 {
	chunk := n / chunkSlotsMax
	switch {
	case int(n%chunkSlotsMax)+1 < len(t.chunks[chunk]):
		return n + 1
	case int(chunk)+1 < len(t.chunks):
		return (chunk + 1) * chunkSlotsMax
	}
	return 0
}

// remove gives a slot back.
func (t *table[V]) remove(n uint32) {
	s := t.at(n)
	t.index.remove(t.hash(t.key(s)), n)
	if s.keyBytes > inlineKeyMax {
		t.long.drop(s.keyBytes)
	}
	*s = slot[V]{}
	t.free = append(t.free, n)
	t.count--
	if t.long.wasteful() {
		t.compactLongKeys()
	}
}

// rebuild makes the index twice as large, unless it was removed slots that filled it.
func (t *table[V]) rebuild() {
	groups := len(t.index.groups)
	if t.count > t.index.room()/2 {
		groups *= 2
	}
	t.index = newSlotIndex(groups)
	for c, chunk := range t.chunks {
		for i := range chunk {
			if s := &chunk[i]; s.state&slotUsed != 0 {
				t.index.insert(t.hash(t.key(s)), uint32(c*chunkSlotsMax+i))
			}
		}
	}
}

func (t *table[V]) compactLongKeys() {
	old := t.long
	t.long = longKeys{}
	for _, chunk := range t.chunks {
		for i := range chunk {
			if s := &chunk[i]; s.keyBytes > inlineKeyMax {
				t.long.put(&s.inline, old.at(&s.inline, s.keyBytes))
			}
		}
	}
}

// slotBytes is what a slot takes with its share of the index, without a long key and without what V points to.
func (t *table[V]) slotBytes() int64 { return int64(unsafe.Sizeof(slot[V]{})) + indexShare }

// unusedBytes is what is there for slots that were never in use.
func (t *table[V]) unusedBytes() int64 { return int64(t.unused) * int64(unsafe.Sizeof(slot[V]{})) }
