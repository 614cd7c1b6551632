package state

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestTheTableFindsWhatAMapFinds: inserts and removals until the index grows, is filled with what was removed, and long keys are moved.
func TestTheTableFindsWhatAMapFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, want := newTable[int](), map[string]int{}
		long := strings.Repeat("x", rapid.SampledFrom([]int{0, 20, 100_000}).Draw(t, "long"))
		for step, n := range rapid.SliceOfN(rapid.IntRange(0, 300), 0, 1500).Draw(t, "keys") {
			key := fmt.Sprint(n)
			if n%2 == 0 && n < 40 {
				key += long
			}
			slot, found := table.find([]byte(key), table.hash([]byte(key)))
			value, has := want[key]
			if found != has || found && table.at(slot).value != value {
				t.Fatalf("step %d: %.20q is %v, want %d %v", step, key, found, value, has)
			}
			if found {
				table.remove(slot)
				delete(want, key)
				continue
			}
			slot = table.insert([]byte(key), table.hash([]byte(key)))
			table.at(slot).value = step
			want[key] = step
		}
		for key, value := range want {
			slot, found := table.find([]byte(key), table.hash([]byte(key)))
			if !found || table.at(slot).value != value || string(table.key(table.at(slot))) != key {
				t.Fatalf("in the end: %.20q is %v, want %d", key, found, value)
			}
		}
		if table.count != len(want) {
			t.Fatalf("%d slots for %d keys", table.count, len(want))
		}
		if room := table.index.room(); room > 64 && len(want) < room/8 && table.index.used > room {
			t.Fatalf("the index has room for %d, %d used, %d keys", room, table.index.used, len(want))
		}
	})
}
