package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// sortItem is something with a key, and the eight bytes of the key behind what all keys of the list have in common.
type sortItem struct {
	head  uint64
	value uint64
}

// sortByKey sorts items by their keys, and those with one key by value.
func sortByKey(items []sortItem, key func(value uint64) []byte) {
	if len(items) < 2 {
		return
	}
	first := key(items[0].value)
	common := len(first)
	for _, item := range items[1:] {
		k := key(item.value)
		n := min(common, len(k))
		if !bytes.Equal(k[:n], first[:n]) {
			for n = 0; k[n] == first[n]; n++ {
			}
		}
		common = n
	}
	for i := range items {
		items[i].head = head(key(items[i].value)[common:])
	}
	slices.SortFunc(items, func(a, b sortItem) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		if c := bytes.Compare(key(a.value), key(b.value)); c != 0 {
			return c
		}
		return cmp.Compare(a.value, b.value)
	})
}

// head returns the first eight bytes of a key as a number; a shorter one is filled up with zeros.
func head(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var full [8]byte
	copy(full[:], key)
	return binary.BigEndian.Uint64(full[:])
}
