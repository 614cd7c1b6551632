package state

import (
	"fmt"
	"runtime"
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

// TestSlotsHaveTheirNumbers over chunks of all sizes: each number is given once, its slot stays where it is, and a walk comes by all.
func TestSlotsHaveTheirNumbers(t *testing.T) {
	table, places := newTable[int](), map[uint32]*slot[int]{}
	for i := range 5 * chunkSlotsMax {
		key := fmt.Append(nil, i)
		n := table.insert(key, table.hash(key))
		if places[n] != nil {
			t.Fatalf("number %d is given twice", n)
		}
		places[n] = table.at(n)
	}
	walked := 0
	for n, more := uint32(0), true; more; n, more = table.after(n), table.after(n) != 0 {
		s := table.at(n)
		if used := s.state&slotUsed != 0; used != (places[n] != nil) || used && places[n] != s {
			t.Fatalf("slot %d is in use: %v, and lies at %p, was at %p", n, used, s, places[n])
		}
		walked++
	}
	if walked != table.room || table.room-table.unused != len(places) {
		t.Errorf("walked by %d slots of %d, %d of them unused, %d inserted", walked, table.room, table.unused, len(places))
	}
}

// TestASmallTableIsSmall: a store of windows has one for each start.
func TestASmallTableIsSmall(t *testing.T) {
	for name, key := range map[string]string{"short": "key ", "long": strings.Repeat("long key ", 4)} {
		const tables = 1000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range tables {
			table := newTable[int64]()
			for i := range 5 {
				k := fmt.Append(nil, key, i)
				table.insert(k, table.hash(k))
			}
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / tables; each > 2048 {
			t.Errorf("five %s keys take %d bytes", name, each)
		}
	}
}
