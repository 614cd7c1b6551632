package state

import "math/bits"

const (
	// warmKeysMax is how many keys are looked up ahead in one go: about as many as a processor waits for at once.
	warmKeysMax = 16
	// warmSlotsMin is the size of a table from which on it is worth it: below, its slots lie in a cache anyway.
	warmSlotsMin = 1 << 14
)

// Warm takes the keys, as bytes, that will be looked up next, and has the processor fetch what memory has of them: all at once,
// where one look-up after the other would wait for each. It changes nothing, and a wrong key costs nothing else.
func (s *KVStore[K, V]) Warm(keys [][]byte) { s.overlay.warm(keys) }

// Warm is [KVStore.Warm] for the windows that were used last.
func (s *WindowStore[K, V]) Warm(keys [][]byte) {
	if at := s.windows.last; at < len(s.windows.list) && s.windows.list[at].overlay != nil {
		s.windows.list[at].overlay.warm(keys)
	}
}

func (o *overlay[V]) warm(keys [][]byte) {
	for len(keys) > 0 {
		n := min(len(keys), warmKeysMax)
		o.table.warm(keys[:n])
		keys = keys[n:]
	}
}

// warm reads the index entries of at most warmKeysMax keys, and then the slots that these name: no read waits for the one before it.
func (t *table[V]) warm(keys [][]byte) {
	if t.count < warmSlotsMin {
		return
	}
	var hashes [warmKeysMax]uint64
	var slots [warmKeysMax]uint32
	for i, key := range keys {
		hashes[i] = t.hash(key)
	}
	for i := range keys {
		group := &t.index.groups[t.index.home(hashes[i])]
		matches := group.match(tagOf(hashes[i]))
		slots[i] = group.slots[(bits.TrailingZeros64(matches)/8)%groupSlots]
	}
	read := uint32(0)
	for i := range keys {
		read += t.at(slots[i]).keyBytes
	}
	t.warmed = read
}
