package state

import "math/bits"

const (
	groupSlots = 8
	groupsMin  = 2
	lowBits    = 0x0101010101010101
	highBits   = 0x8080808080808080

	tagEmpty   = 0 // nothing was ever here
	tagRemoved = 1 // a search goes on behind it
)

// slotIndex maps hashes to the numbers of slots, in groups of eight whose tags are compared at once, as Swiss tables do.
type slotIndex struct {
	groups []slotGroup
	shift  uint8 // the hash's upper bits are the number of its group
	used   int   // entries that are not empty
}

type slotGroup struct {
	tags  uint64 // a byte for each slot: 0x80 and seven bits of the hash, or one of the constants
	slots [groupSlots]uint32
}

func newSlotIndex(groups int) slotIndex {
	return slotIndex{groups: make([]slotGroup, groups), shift: uint8(64 - bits.TrailingZeros(uint(groups)))}
}

func tagOf(hash uint64) uint8 { return uint8(hash) | 0x80 }

func (x *slotIndex) home(hash uint64) uint64 { return hash >> (x.shift & 63) }

func (x *slotIndex) after(group uint64) uint64 { return (group + 1) & uint64(len(x.groups)-1) }

// room is how many entries there may be.
func (x *slotIndex) room() int { return len(x.groups) * groupSlots * 3 / 4 }

func (x *slotIndex) full() bool { return x.used >= x.room() }

func (x *slotIndex) insert(hash uint64, n uint32) {
	for at := x.home(hash); ; at = x.after(at) {
		g := &x.groups[at]
		if free := ^g.tags & highBits; free != 0 {
			i := bits.TrailingZeros64(free) / 8
			if g.tag(i) == tagEmpty {
				x.used++
			}
			g.set(i, tagOf(hash))
			g.slots[i] = n
			return
		}
	}
}

func (x *slotIndex) remove(hash uint64, n uint32) {
	for at := x.home(hash); ; at = x.after(at) {
		g := &x.groups[at]
		for matches := g.match(tagOf(hash)); matches != 0; matches &= matches - 1 {
			i := bits.TrailingZeros64(matches) / 8
			if g.slots[i] != n {
				continue
			}
			if g.hasEmpty() { // then no search goes on behind this group
				g.set(i, tagEmpty)
				x.used--
			} else {
				g.set(i, tagRemoved)
			}
			return
		}
	}
}

// match has the high bit of each byte whose tag it is, and maybe of the byte above one.
func (g *slotGroup) match(tag uint8) uint64 {
	x := g.tags ^ lowBits*uint64(tag)
	return (x - lowBits) &^ x & highBits
}

func (g *slotGroup) hasEmpty() bool { return (g.tags-lowBits)&^g.tags&highBits != 0 }

func (g *slotGroup) tag(i int) uint8 { return uint8(g.tags >> (8 * i)) }

func (g *slotGroup) set(i int, tag uint8) {
	g.tags = g.tags&^(0xff<<(8*i)) | uint64(tag)<<(8*i)
}
