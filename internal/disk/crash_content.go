package disk

import (
	"maps"
	"slices"
)

const (
	sectorBytes = 512 // what a torn write tears at

	// versionsMax bounds what is remembered of one block, and of one file's sizes, between two syncs. Beyond it the
	// second oldest is forgotten: a crash then finds fewer states, and no impossible one.
	versionsMax = 32
)

// contentHistory is what may be on the medium of a file that is not synced. It exists from the first change after a
// sync. Guarded by the mutex of its content.
type contentHistory struct {
	blocks    map[int64]*blockHistory
	sizes     []sizeVersion // oldest first; the first is durable
	sizeDirty bool          // the next sync makes the last size durable
}

type blockHistory struct {
	versions []blockVersion // oldest first; the first is durable
	dirty    bool           // the next sync makes the last version durable
}

type blockVersion struct {
	data     []byte // a whole block, or nil for zeros
	sequence uint64
}

type sizeVersion struct {
	size     int64
	sequence uint64
}

// changesLocked is called before the bytes in [from, to) change, or the size does.
func (c *content) changesLocked(from, to int64) {
	if c.m.crashes == nil {
		return
	}
	if c.mu.history == nil {
		c.mu.history = &contentHistory{
			blocks: map[int64]*blockHistory{},
			sizes:  []sizeVersion{{size: c.mu.size}},
		}
	}
	for block := from / blockBytes; block*blockBytes < to; block++ {
		if c.mu.history.blocks[block] == nil {
			c.mu.history.blocks[block] = &blockHistory{versions: []blockVersion{{data: c.blockLocked(block)}}}
		}
	}
}

// changedLocked is called after the bytes in [from, to) have changed, or the size has.
func (c *content) changedLocked(from, to int64) {
	if c.m.crashes == nil {
		return
	}
	sequence := c.m.crashes.sequence.Add(1)
	h := c.mu.history
	for block := from / blockBytes; block*blockBytes < to; block++ {
		b := h.blocks[block]
		b.versions = bounded(append(b.versions, blockVersion{data: c.blockLocked(block), sequence: sequence}))
		b.dirty = true
	}
	if h.sizes[len(h.sizes)-1].size != c.mu.size {
		h.sizes = bounded(append(h.sizes, sizeVersion{size: c.mu.size, sequence: sequence}))
		h.sizeDirty = true
	}
}

func bounded[V any](versions []V) []V {
	if len(versions) > versionsMax {
		return slices.Delete(versions, 1, 2)
	}
	return versions
}

// blockLocked returns a copy of one block as it is now, nil if nothing is stored there.
func (c *content) blockLocked(block int64) []byte {
	index := int(block * blockBytes / chunkBytes)
	if index >= len(c.mu.chunks) || c.mu.chunks[index] == nil {
		return nil
	}
	data := make([]byte, blockBytes)
	c.copyOutLocked(data, block*blockBytes)
	return data
}

func (c *content) sync() {
	if c.m.crashes == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.mu.history
	if h == nil {
		return
	}
	maps.DeleteFunc(h.blocks, func(_ int64, b *blockHistory) bool { return b.dirty })
	if h.sizeDirty {
		h.sizes = h.sizes[len(h.sizes)-1:]
		h.sizeDirty = false
	}
	if len(h.blocks) == 0 && len(h.sizes) == 1 {
		c.mu.history = nil
	}
}

// syncRange makes the blocks in [from, to) durable, and the size if it is needed to read them. Another size, a smaller one
// say, is left to a sync of the file.
func (c *content) syncRange(from, to int64) {
	if c.m.crashes == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.mu.history
	if h == nil {
		return
	}
	for block := from / blockBytes; block*blockBytes < to; block++ {
		delete(h.blocks, block)
	}
	if h.sizeDirty && h.sizes[0].size < to {
		h.sizes = h.sizes[len(h.sizes)-1:]
		h.sizeDirty = false
	}
	if len(h.blocks) == 0 && len(h.sizes) == 1 {
		c.mu.history = nil
	}
}

// failSync is what Linux does when the medium refuses: the pages count as clean, so that a later sync succeeds without
// writing them, and what of them is on the medium is anybody's guess. The size is metadata, which is journaled: a later
// sync has it.
func (c *content) failSync() {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.mu.history
	if h == nil {
		return
	}
	for _, b := range h.blocks {
		b.dirty = false
	}
}

// survive makes of the live bytes in to what a crash leaves of them.
func (h *contentHistory) survive(s *survivor, to *content) {
	if h == nil || s.Data == SurvivesEverything {
		return
	}
	for _, block := range slices.Sorted(maps.Keys(h.blocks)) {
		data := make([]byte, blockBytes)
		h.blocks[block].survive(s, data)
		to.copyInLocked(data, block*blockBytes)
	}
	size := h.sizes[0].size
	switch s.Data {
	case SurvivesSome:
		size = h.sizes[s.random.IntN(len(h.sizes))].size
	case SurvivesPrefix:
		for _, version := range h.sizes {
			if version.sequence <= s.cut {
				size = version.size
			}
		}
	}
	to.mu.size = size
	to.zeroLocked(size)
}

func (b *blockHistory) survive(s *survivor, data []byte) {
	switch {
	case s.Data == SurvivesSome && s.Torn:
		for at := 0; at < blockBytes; at += sectorBytes {
			if version := b.versions[s.random.IntN(len(b.versions))].data; version != nil {
				copy(data[at:at+sectorBytes], version[at:])
			}
		}
	case s.Data == SurvivesSome:
		copy(data, b.versions[s.random.IntN(len(b.versions))].data)
	default:
		survived := b.versions[0].data
		for _, version := range b.versions {
			if s.Data == SurvivesPrefix && version.sequence <= s.cut {
				survived = version.data
			}
		}
		copy(data, survived)
	}
}

func (h *contentHistory) clone() *contentHistory {
	if h == nil {
		return nil
	}
	cloned := &contentHistory{blocks: map[int64]*blockHistory{}, sizes: slices.Clone(h.sizes), sizeDirty: h.sizeDirty}
	for block, b := range h.blocks {
		// Versions are never changed in place but by flip, which the clone is not to see.
		versions := slices.Clone(b.versions)
		for i := range versions {
			versions[i].data = slices.Clone(versions[i].data)
		}
		cloned.blocks[block] = &blockHistory{versions: versions, dirty: b.dirty}
	}
	return cloned
}

func (h *contentHistory) flip(bit int64) {
	if h == nil {
		return
	}
	block := h.blocks[bit/8/blockBytes]
	if block == nil {
		return
	}
	for i := range block.versions {
		if block.versions[i].data == nil {
			block.versions[i].data = make([]byte, blockBytes)
		}
		block.versions[i].data[bit/8%blockBytes] ^= 1 << (bit % 8)
	}
}
