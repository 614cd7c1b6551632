package state

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSortedItemsAreInTheOrderOfTheirKeys: few and many, with common prefixes, keys that are prefixes of others, and equal ones.
func TestSortedItemsAreInTheOrderOfTheirKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xff}), 0, 12), 1, 400).Draw(t, "keys")
		start := rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(t, "prefix")
		var keys [][]byte
		for _, key := range pool {
			keys = append(keys, slices.Concat(start, key))
		}
		keys = slices.Repeat(keys, 1+rapid.SampledFrom([]int{0, 2, 2 * radixMin}).Draw(t, "more")/len(keys))
		var w batchWriter
		for i := range keys {
			w.items = append(w.items, sortItem{value: uint64(i)})
		}
		w.sortByKey(func(i uint64) []byte { return keys[i] })
		if len(w.items) != len(keys) {
			t.Fatalf("%d items of %d", len(w.items), len(keys))
		}
		for i := 1; i < len(w.items); i++ {
			a, b := w.items[i-1].value, w.items[i].value
			if c := bytes.Compare(keys[a], keys[b]); c > 0 || c == 0 && a >= b {
				t.Fatalf("%d: %q (%d) is before %q (%d)", i, keys[a], a, keys[b], b)
			}
		}
	})
}
