package state

import (
	"hash/maphash"
	"math/bits"
	"unsafe"
)

const (
	inlineKeyMax  = 31 // longer keys lie outside of their slot
	slotsPerChunk = 1024
	indexMin      = 64
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

// table finds slots by key: an open-addressed index of 8 bytes an entry, half the key's hash and half the slot's number, over chunks of
// slots that never move.
type table[V any] struct {
	seed   maphash.Seed
	index  []uint64 // hash<<32 | slot+1; 0: free
	shift  uint8    // the hash's upper bits are the place in the index
	count  int      // slots in use
	chunks []*[slotsPerChunk]slot[V]
	next   uint32   // the first slot never used
	free   []uint32 // slots given back
	long   longKeys
}

func newTable[V any]() table[V] {
	t := table[V]{seed: maphash.MakeSeed()}
	t.resize(indexMin)
	return t
}

func (t *table[V]) at(n uint32) *slot[V] { return &t.chunks[n/slotsPerChunk][n%slotsPerChunk] }

func (t *table[V]) hash(key []byte) uint32 { return uint32(maphash.Bytes(t.seed, key)) }

// find returns the number of key's slot.
func (t *table[V]) find(key []byte, hash uint32) (n uint32, found bool) {
	mask := uint32(len(t.index) - 1)
	for i := hash >> t.shift; ; i++ {
		e := t.index[i&mask]
		if uint32(e>>32) == hash && e != 0 {
			n := uint32(e) - 1
			if string(t.key(t.at(n))) == string(key) {
				return n, true
			}
		}
		if e == 0 {
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
func (t *table[V]) insert(key []byte, hash uint32) uint32 {
	if (t.count+1)*4 > len(t.index)*3 {
		t.resize(2 * len(t.index))
	}
	n := t.take()
	s := t.at(n)
	s.state = slotUsed
	s.keyBytes = uint32(len(key))
	if len(key) <= inlineKeyMax {
		copy(s.inline[:], key)
	} else {
		t.long.put(&s.inline, key)
	}
	t.place(uint64(hash)<<32 | uint64(n+1))
	t.count++
	return n
}

func (t *table[V]) take() uint32 {
	if last := len(t.free) - 1; last >= 0 {
		n := t.free[last]
		t.free = t.free[:last]
		return n
	}
	if int(t.next) == len(t.chunks)*slotsPerChunk {
		t.chunks = append(t.chunks, new([slotsPerChunk]slot[V]))
	}
	t.next++
	return t.next - 1
}

// remove gives a slot back.
func (t *table[V]) remove(n uint32) {
	s := t.at(n)
	t.unplace(t.hash(t.key(s)), n)
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

func (t *table[V]) place(entry uint64) {
	mask := uint32(len(t.index) - 1)
	i := uint32(entry>>32) >> t.shift
	for t.index[i&mask] != 0 {
		i++
	}
	t.index[i&mask] = entry
}

// unplace closes the gap that an entry leaves, so that no search ends too early.
func (t *table[V]) unplace(hash, n uint32) {
	mask := uint32(len(t.index) - 1)
	i := hash >> t.shift
	for uint32(t.index[i&mask]) != n+1 {
		i++
	}
	hole := i & mask
	for j := (hole + 1) & mask; t.index[j] != 0; j = (j + 1) & mask {
		home := uint32(t.index[j]>>32) >> t.shift
		if (j-home)&mask >= (j-hole)&mask {
			t.index[hole] = t.index[j]
			hole = j
		}
	}
	t.index[hole] = 0
}

func (t *table[V]) resize(size int) {
	old := t.index
	t.index = make([]uint64, size)
	t.shift = uint8(32 - bits.TrailingZeros(uint(size)))
	for _, e := range old {
		if e != 0 {
			t.place(e)
		}
	}
}

func (t *table[V]) compactLongKeys() {
	old := t.long
	t.long = longKeys{}
	for n := range t.next {
		if s := t.at(n); s.keyBytes > inlineKeyMax {
			t.long.put(&s.inline, old.at(&s.inline, s.keyBytes))
		}
	}
}

// slotBytes is what a slot takes with its share of the index, without a long key and without what V points to.
func (t *table[V]) slotBytes() int64 { return int64(unsafe.Sizeof(slot[V]{})) + 12 }
