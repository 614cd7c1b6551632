package state

import (
	"bytes"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// merge visits all keys in [from, to) that Pebble has or that have a slot that is not clean, in order. nil is open. The slot is nil
// if the key has none, stored is nil if Pebble has nothing. Changes meanwhile are seen or not, but for a key that is visited.
func (o *overlay[V]) merge(from, to []byte, visit func(key []byte, s *slot[V], stored []byte) (more bool, err error)) (err error) {
	if err := o.db.usable(); err != nil {
		return err
	}
	iterator, err := o.db.pebble.NewIter(&pebble.IterOptions{LowerBound: slices.Concat(o.prefix, from), UpperBound: o.upperBound(to)})
	if err != nil {
		return o.db.fail("open an iterator", err)
	}
	defer func() {
		if e := iterator.Close(); e != nil {
			err = errors.Join(err, o.db.fail("close an iterator", e))
		}
	}()
	runs := o.changedRuns(from, to)
	iterator.First()
	for {
		next, key := o.smallest(runs)
		var stored []byte
		if iterator.Valid() {
			inPebble := iterator.Key()[len(o.prefix):]
			if c := bytes.Compare(inPebble, key); next < 0 || c <= 0 {
				if c != 0 {
					next = -1
				}
				key = inPebble
				if stored, err = iterator.ValueAndErr(); err != nil {
					return o.db.fail("read", err)
				}
			}
		} else if err := iterator.Error(); err != nil {
			return o.db.fail("read", err)
		} else if next < 0 {
			return nil
		}
		more, err := visit(key, o.slotOf(runs, next, key), stored)
		if err != nil || !more {
			return err
		}
		if next >= 0 {
			runs[next] = runs[next][1:]
		}
		if stored != nil {
			iterator.Next()
		}
	}
}

func (o *overlay[V]) slotOf(runs [][]uint32, run int, key []byte) *slot[V] {
	if run >= 0 {
		return o.table.at(runs[run][0])
	}
	if n, found := o.table.find(key, o.table.hash(key)); found {
		return o.table.at(n)
	}
	return nil
}

// smallest returns the run with the smallest key; -1 if all are at their ends.
func (o *overlay[V]) smallest(runs [][]uint32) (run int, key []byte) {
	run = -1
	for i := range runs {
		if len(runs[i]) == 0 {
			continue
		}
		if k := o.keyOf(runs[i][0]); run < 0 || bytes.Compare(k, key) < 0 {
			run, key = i, k
		}
	}
	return run, key
}

// changedRuns returns the slots that are not clean and in [from, to), as sorted runs.
func (o *overlay[V]) changedRuns(from, to []byte) [][]uint32 {
	if !o.order.kept {
		o.order.kept = true
		o.changedSlots(o.order.add)
	}
	var within [][]uint32
	for _, run := range o.order.sorted(o.keyOf) {
		compare := func(n uint32, bound []byte) int { return bytes.Compare(o.keyOf(n), bound) }
		start, _ := slices.BinarySearchFunc(run, from, compare)
		end := len(run)
		if to != nil {
			end, _ = slices.BinarySearchFunc(run, to, compare)
		}
		if start < end {
			within = append(within, run[start:end])
		}
	}
	return within
}

// changedSlots visits each slot that is not clean once.
func (o *overlay[V]) changedSlots(visit func(n uint32)) {
	for _, n := range o.pending {
		visit(n)
	}
	for _, n := range o.dirty {
		if s := o.table.at(n); s.pending == 0 {
			visit(n)
		}
	}
	seen := map[uint32]bool{} // Changes may give a slot out twice
	for _, p := range o.prepared {
		if s := o.table.at(p.n); s.pending == 0 && s.state&slotDirty == 0 && !seen[p.n] {
			seen[p.n] = true
			visit(p.n)
		}
	}
}

func (o *overlay[V]) keyOf(n uint32) []byte { return o.table.key(o.table.at(n)) }

func (o *overlay[V]) upperBound(to []byte) []byte {
	if to != nil {
		return slices.Concat(o.prefix, to)
	}
	return successor(o.prefix)
}

// ascend visits the values in [from, to) as the owner sees them. The key is valid during the visit.
func (o *overlay[V]) ascend(from, to []byte, visit func(key []byte, value V, timestampMs int64) (more bool, err error)) error {
	return o.merge(from, to, func(key []byte, s *slot[V], stored []byte) (bool, error) {
		switch {
		case s != nil && s.state&slotPresent != 0:
			return visit(key, s.value, s.timestampMs)
		case s != nil || stored == nil:
			return true, nil
		}
		value, timestampMs, err := o.decode(stored)
		if err != nil {
			return false, err
		}
		return visit(key, value, timestampMs)
	})
}
