package log

import (
	"sort"
	"sync"

	"github.com/millrace/millrace/internal/disk"
)

const (
	// gapMarkBytes is how far apart at least the places are from which gaps are counted on. A segment without any has
	// none of them.
	gapMarkBytes = 256 << 10
	// gapsKeptMax is how many offsets a segment keeps an answer for: those that groups stand at.
	gapsKeptMax = 128
)

// gaps is what is known of the offsets of a segment that have no data record: those of control batches, and those that
// compaction has emptied. The writer tells of each batch; of batches that were there before it, headers are walked when
// somebody wants to know. Its methods are safe for concurrent use.
type gaps struct {
	walking sync.Mutex // one walk at a time; taken before mu

	mu struct {
		sync.Mutex
		known      boundary        // all before it has been counted
		missing    int64           // offsets without a data record from the segment's base up to there
		marks      []gapMark       // the first one where the first gap or control batch is
		kept       map[int64]int64 // answers of before
		timestamps map[int64]int64 // answers of firstTimestamp
	}
}

// gapMark is a batch boundary and how many offsets before it are without a data record.
type gapMark struct {
	boundary
	missing int64
}

// appended is told of a batch that now lies at position. While older ones are not counted it does nothing.
func (g *gaps) appended(b headerView, position int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.known.position == position {
		g.noteLocked(b, int64(len(b)))
	}
}

// noteLocked counts the batch at the end of what is known.
func (g *gaps) noteLocked(header headerView, size int64) {
	m := &g.mu
	missing := header.BaseOffset() - m.known.offset + int64(header.LastOffsetDelta()) + 1 - dataRecords(header)
	marked := len(m.marks)
	if marked == 0 && missing > 0 || marked > 0 && m.known.position-m.marks[marked-1].position >= gapMarkBytes {
		m.marks = append(m.marks, gapMark{m.known, m.missing})
	}
	m.missing += missing
	m.known = boundary{offset: header.NextOffset(), position: m.known.position + size}
}

// none says that every offset of the segment before to is known to have a data record.
func (g *gaps) none(to int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.missing == 0 && to <= g.mu.known.offset
}

// catchUp counts what is not known up to size, as far as effort reaches.
func (g *gaps) catchUp(file disk.File, size int64, effort *Effort) error {
	g.walking.Lock()
	defer g.walking.Unlock()
	h := openHeaders(file)
	defer h.close()
	for position := g.reached(); position < size && effort.spend(1); position = g.reached() {
		header, batchSize, err := h.at(position, size)
		if err != nil {
			return damage(file.Name(), position, err)
		}
		g.mu.Lock()
		if g.mu.known.position == position { // else the writer has told of it
			g.noteLocked(header, batchSize)
		}
		g.mu.Unlock()
	}
	return nil
}

func (g *gaps) reached() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.known.position
}

// before is how many offsets of the segment below offset have no data record. Not exact: not all of them are counted
// yet, or offset lies inside a batch that compaction has thinned out.
func (g *gaps) before(file disk.File, offset, size int64, effort *Effort) (missing int64, exact bool, err error) {
	mark, missing, exact, done := g.look(offset, size)
	if done {
		return missing, exact, nil
	}
	missing = mark.missing
	h := openHeaders(file)
	defer h.close()
	next := mark.offset
	for position := mark.position; position < size && next < offset; {
		if !effort.spend(1) {
			return missing, false, nil
		}
		header, batchSize, err := h.at(position, size)
		if err != nil {
			return missing, false, damage(file.Name(), position, err)
		}
		inBatch, exactly := missingIn(header, offset)
		missing += max(min(header.BaseOffset(), offset)-next, 0) + inBatch
		if !exactly {
			return missing, false, nil
		}
		position, next = position+batchSize, header.NextOffset()
	}
	missing += max(offset-next, 0) // between the last batch and the next segment
	g.keep(offset, missing)
	return missing, true, nil
}

// missingIn is how many offsets of a batch below offset have no data record.
func missingIn(header headerView, offset int64) (missing int64, exact bool) {
	offsets := int64(header.LastOffsetDelta()) + 1
	missing = offsets - dataRecords(header)
	below := min(max(offset-header.BaseOffset(), 0), offsets)
	if missing == offsets || missing == 0 || below == 0 || below == offsets {
		return missing * below / offsets, true
	}
	return missing * below / offsets, false
}

// look answers before from what is known, or returns the place to walk from.
func (g *gaps) look(offset, size int64) (from gapMark, missing int64, exact, done bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &g.mu
	known, ok := m.kept[offset]
	switch {
	case ok:
		return from, known, true, true
	case offset == m.known.offset, offset > m.known.offset && m.known.position >= size:
		return from, m.missing + offset - m.known.offset, true, true
	case offset > m.known.offset:
		return from, m.missing, false, true
	}
	i := sort.Search(len(m.marks), func(i int) bool { return m.marks[i].offset > offset })
	if i == 0 {
		return from, 0, true, true
	}
	return m.marks[i-1], 0, false, false
}

func (g *gaps) keep(offset, missing int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	keepBounded(&g.mu.kept, offset, missing)
}

// timestamp is what was kept of the first data record at or after an offset.
func (g *gaps) timestamp(offset int64) (timestampMs int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	timestampMs, ok = g.mu.timestamps[offset]
	return timestampMs, ok
}

func (g *gaps) keepTimestamp(offset, timestampMs int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	keepBounded(&g.mu.timestamps, offset, timestampMs)
}

// keepBounded enters an answer, in place of all others if there are too many.
func keepBounded(answers *map[int64]int64, offset, answer int64) {
	if *answers == nil || len(*answers) >= gapsKeptMax {
		*answers = make(map[int64]int64)
	}
	(*answers)[offset] = answer
}
