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

// radixMin is how many items it takes for sorting by digits to be faster than by comparisons.
const radixMin = 256

// sortItems sorts items by their keys, and those with one key by value; that is the order in which they were made. It returns the sorted
// items and the memory that it does not need any more, of items and spare.
func sortItems(items, spare []sortItem, key func(value uint64) []byte) (sorted, rest []sortItem) {
	compare := func(a, b sortItem) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		if c := bytes.Compare(key(a.value), key(b.value)); c != 0 {
			return c
		}
		return cmp.Compare(a.value, b.value)
	}
	if len(items) < radixMin {
		slices.SortFunc(items, compare)
		return items, spare
	}
	sorted, rest = radixSort(items, spare)
	for start := 0; start < len(sorted); {
		end := start + 1
		for end < len(sorted) && sorted[end].head == sorted[start].head {
			end++
		}
		if end-start > 1 {
			slices.SortFunc(sorted[start:end], compare)
		}
		start = end
	}
	return sorted, rest
}

// radixSort sorts items by their heads, a byte at a time from the last; a byte that is the same everywhere costs nothing.
func radixSort(items, spare []sortItem) (sorted, rest []sortItem) {
	spare = slices.Grow(spare[:0], len(items))[:len(items)]
	var counts [8][256]int
	for _, item := range items {
		for digit := range counts {
			counts[digit][byte(item.head>>(8*digit))]++
		}
	}
	for digit := range counts {
		next := &counts[digit]
		if next[byte(items[0].head>>(8*digit))] == len(items) {
			continue
		}
		sum := 0
		for value, count := range next {
			next[value] = sum
			sum += count
		}
		for _, item := range items {
			value := byte(item.head >> (8 * digit))
			spare[next[value]] = item
			next[value]++
		}
		items, spare = spare, items
	}
	return items, spare
}

// prefix is what all keys that were added begin with.
type prefix struct {
	bytes []byte
	any   bool
}

func (p *prefix) add(key []byte) {
	if !p.any {
		p.bytes, p.any = slices.Clone(key), true
		return
	}
	if bytes.HasPrefix(key, p.bytes) {
		return
	}
	n := 0
	for n < len(key) && key[n] == p.bytes[n] {
		n++
	}
	p.bytes = p.bytes[:n]
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
