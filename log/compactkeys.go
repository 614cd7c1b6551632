package log

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// keyMap knows the last offset of each key, in a fixed amount of memory however long the keys are: it keeps 128 bits of their
// SHA-256, which nobody can make collide, since two keys that did would be taken for one. Once full it takes no new key.
type keyMap struct {
	slots []keySlot
	used  int
	max   int // keys, so that look-ups stay short
}

// keySlot is one key. In a free one next is 0.
type keySlot struct {
	high, low uint64
	next      int64 // offset + 1
}

const (
	keySlotBytes  = 24
	keySlotsMin   = 4
	keyLoadPart   = 3 // of keyLoadOf slots are used at most
	keyLoadOf     = 4
	keysPerMapMin = 1
)

// newKeyMap makes a map that takes up to maxBytes, less if there are not so many keys to expect.
func newKeyMap(maxBytes, keysExpected int64) *keyMap {
	slots := max(keySlotsMin, min(maxBytes/keySlotBytes, keysExpected*keyLoadOf/keyLoadPart+1))
	return &keyMap{slots: make([]keySlot, slots), max: int(max(keysPerMapMin, slots*keyLoadPart/keyLoadOf))}
}

// put notes that the key's last offset is this one. It returns false, and has noted nothing, if the key is new and the map full.
func (m *keyMap) put(key []byte, offset int64) bool {
	high, low := hashKey(key)
	s := m.find(high, low)
	if s.next == 0 {
		if m.used == m.max {
			return false
		}
		m.used++
	}
	*s = keySlot{high: high, low: low, next: offset + 1}
	return true
}

// last returns the key's last offset, -1 if it has none.
func (m *keyMap) last(key []byte) int64 { return m.find(hashKey(key)).next - 1 }

// find returns the slot of the key with that hash, or the free one where it belongs.
func (m *keyMap) find(high, low uint64) *keySlot {
	at, _ := bits.Mul64(high, uint64(len(m.slots)))
	for {
		s := &m.slots[at]
		if s.next == 0 || s.high == high && s.low == low {
			return s
		}
		if at++; at == uint64(len(m.slots)) {
			at = 0
		}
	}
}

func hashKey(key []byte) (high, low uint64) {
	sum := sha256.Sum256(key)
	return binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])
}
