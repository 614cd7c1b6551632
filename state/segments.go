package state

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// segments has all windows of a store: for each start an overlay of its own, with a prefix of its own in Pebble, so that windows
// come and go as a whole. To the DB it is one space.
type segments[V any] struct {
	db      *DB
	prefix  []byte
	codec   Codec[V]
	list    []*segment[V] // all there are, by start
	last    int           // in list: the one that was used last
	floorMs int64         // what begins before it has been expired
	expired []*segment[V] // those that Expire took out and no commit has confirmed, by start
	gone    bool          // a commit has confirmed some that are in Pebble still
	goneMs  int64         // they begin before it
}

// segment has the windows that begin at startMs.
type segment[V any] struct {
	startMs  int64
	overlay  *overlay[V] // nil until it is used
	stored   bool        // Pebble may have some of it
	prepared bool        // expired before the last Changes
}

// noFloor is the floor of a store that has expired nothing.
const noFloor = math.MinInt64

func newSegments[V any](db *DB, prefix []byte, codec Codec[V]) *segments[V] {
	return &segments[V]{db: db, prefix: prefix, codec: codec, floorMs: noFloor, goneMs: noFloor}
}

// load looks up which starts Pebble has: a seek for each.
func (s *segments[V]) load() error {
	iterator, err := s.db.pebble.NewIter(&pebble.IterOptions{LowerBound: s.prefix, UpperBound: successor(s.prefix)})
	if err != nil {
		return s.db.fail("open an iterator", err)
	}
	for more := iterator.First(); more; {
		startMs := segmentStart(iterator.Key()[len(s.prefix):])
		s.list = append(s.list, &segment[V]{startMs: startMs, stored: true})
		next := successor(s.segmentPrefix(startMs))
		more = next != nil && iterator.SeekGE(next)
	}
	if err := errors.Join(iterator.Error(), iterator.Close()); err != nil {
		return s.db.fail("read", err)
	}
	return nil
}

// find returns what there is of the windows that begin at startMs, nil if there are none.
func (s *segments[V]) find(startMs int64) *overlay[V] {
	for _, i := range [...]int{s.last, s.last + 1} { // of hopping windows, a record has neighbours
		if i < len(s.list) && s.list[i].startMs == startMs {
			s.last = i
			return s.open(s.list[i])
		}
	}
	i, found := s.search(startMs)
	if !found {
		return nil
	}
	s.last = i
	return s.open(s.list[i])
}

// add makes room for the windows that begin at startMs, of which there are none.
func (s *segments[V]) add(startMs int64) *overlay[V] {
	i, _ := s.search(startMs)
	s.list = slices.Insert(s.list, i, &segment[V]{startMs: startMs})
	s.last = i
	return s.open(s.list[i])
}

// within returns what begins in [fromMs, toMs).
func (s *segments[V]) within(fromMs, toMs int64) []*segment[V] {
	i, _ := s.search(fromMs)
	j, _ := s.search(toMs)
	if i >= j {
		return nil
	}
	return slices.Clone(s.list[i:j])
}

// committedWithin is within as the last commit left it: what is expired by a transaction under way is still there.
func (s *segments[V]) committedWithin(fromMs, toMs int64) []*segment[V] {
	var found []*segment[V]
	for _, g := range s.expired { // all of them begin before all of list
		if g.startMs >= fromMs && g.startMs < toMs {
			found = append(found, g)
		}
	}
	return append(found, s.within(fromMs, toMs)...)
}

// committedAt is committedWithin for one start.
func (s *segments[V]) committedAt(startMs int64) []*segment[V] {
	if i, found := s.search(startMs); found {
		return s.list[i : i+1]
	}
	for i, g := range s.expired {
		if g.startMs == startMs {
			return s.expired[i : i+1]
		}
	}
	return nil
}

// search returns where the segment of startMs is, or belongs.
func (s *segments[V]) search(startMs int64) (int, bool) {
	return slices.BinarySearchFunc(s.list, startMs, func(g *segment[V], startMs int64) int {
		return cmp.Compare(g.startMs, startMs)
	})
}

func (s *segments[V]) open(g *segment[V]) *overlay[V] {
	if g.overlay == nil {
		suffix := binary.BigEndian.AppendUint64(nil, uint64(g.startMs))
		g.overlay = newOverlay(s.db, s.segmentPrefix(g.startMs), suffix, s.codec, true, !g.stored)
	}
	return g.overlay
}

// expire takes out what begins before a time. It is the next commit that gives memory and disk back: until then the transaction may
// fail, and then the windows are still there.
func (s *segments[V]) expire(beforeMs int64) {
	if beforeMs <= s.floorMs {
		return
	}
	s.floorMs = beforeMs
	n, _ := s.search(beforeMs)
	if n == 0 {
		return
	}
	s.expired = append(s.expired, s.list[:n]...)
	s.list = slices.Delete(s.list, 0, n)
	s.last = 0
}

// segmentPrefix begins the keys of a segment in Pebble: the bytes of the start sort as the starts do.
func (s *segments[V]) segmentPrefix(startMs int64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(s.prefix), uint64(startMs)^signBit)
}

const (
	windowStartBytes = 8
	signBit          = 1 << 63
)

func segmentStart(key []byte) int64 { return int64(binary.BigEndian.Uint64(key) ^ signBit) }
