package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
)

// overlay is what memory has of the keys below one prefix in Pebble. A slot of it is clean: as in Pebble; or dirty: changed by the
// transaction that is under way; or pending: committed, and Pebble gets it with the next Flush. Only clean slots are evicted.
type overlay[V any] struct {
	db       *DB
	store    string
	prefix   []byte
	suffix   []byte // behind a key in the changelog; the prefix is not there
	codec    Codec[V]
	logged   bool // in the changelog
	complete bool // what has no slot is not in Pebble either

	table    table[V]
	dirty    []uint32
	prepared []preparedSlot // given out by Changes
	accepted int            // how many of prepared Changes has given out without an error
	pending  []uint32
	order    slotOrder
	hand     uint32 // of eviction
	scratch  []byte // begins with prefix
}

// preparedSlot is a slot and what Changes gave out of it.
type preparedSlot struct {
	n   uint32
	ref changeRef
}

// newOverlay returns the overlay of prefix. empty says that Pebble is known to have no key below it.
func newOverlay[V any](db *DB, prefix, suffix []byte, codec Codec[V], logged, empty bool) *overlay[V] {
	o := &overlay[V]{
		db:       db,
		store:    db.storeBelow(prefix),
		prefix:   slices.Clone(prefix),
		suffix:   slices.Clone(suffix),
		codec:    codec,
		logged:   logged,
		complete: empty,
		table:    newTable[V](),
		scratch:  slices.Clone(prefix),
	}
	db.resident = append(db.resident, o)
	db.cached += o.emptyBytes()
	return o
}

// emptyBytes is what an overlay takes without any slots.
func (o *overlay[V]) emptyBytes() int64 {
	return int64(unsafe.Sizeof(*o)) + groupsMin*int64(unsafe.Sizeof(slotGroup{}))
}

// release gives the memory back; whoever has the overlay forgets it. What it has that is not in Pebble is lost.
func (o *overlay[V]) release() {
	o.clear()
	o.db.cached -= o.emptyBytes()
	o.db.resident = slices.DeleteFunc(o.db.resident, func(e evictor) bool { return e == evictor(o) })
}

// locate returns the slot of key, which it makes if there is none: from Pebble, or as absent.
func (o *overlay[V]) locate(key []byte) (uint32, error) {
	if err := o.db.usable(); err != nil {
		return 0, err
	}
	hash := o.table.hash(key)
	if n, found := o.table.find(key, hash); found {
		if s := o.table.at(n); s.state&slotRecent == 0 {
			s.state |= slotRecent
		}
		return n, nil
	}
	return o.load(key, hash)
}

// lookup is locate for reading: it makes no slot for a key that is known to be absent.
func (o *overlay[V]) lookup(key []byte) (s *slot[V], err error) {
	if o.complete {
		if err := o.db.usable(); err != nil {
			return nil, err
		}
		n, found := o.table.find(key, o.table.hash(key))
		if !found {
			return nil, nil
		}
		s = o.table.at(n)
		s.state |= slotRecent
	} else {
		n, err := o.locate(key)
		if err != nil {
			return nil, err
		}
		s = o.table.at(n)
	}
	if s.state&slotPresent == 0 {
		return nil, nil
	}
	return s, nil
}

func (o *overlay[V]) load(key []byte, hash uint64) (uint32, error) {
	o.db.makeRoom()
	o.db.cached -= o.table.unusedBytes()
	n := o.table.insert(key, hash)
	o.db.cached += o.table.unusedBytes()
	s := o.table.at(n)
	s.state |= slotRecent
	if !o.complete {
		if err := o.read(key, s); err != nil {
			o.table.remove(n)
			return 0, err
		}
	}
	o.db.cached += o.weight(s)
	return n, nil
}

// read fills a new slot from Pebble.
func (o *overlay[V]) read(key []byte, s *slot[V]) error {
	stored, closer, err := o.stored(key)
	if err != nil || stored == nil {
		return err
	}
	value, timestampMs, err := o.decode(stored)
	s.value, s.timestampMs, s.valueBytes = value, timestampMs, uint32(len(stored))
	s.state |= slotPresent
	return errors.Join(err, closer())
}

// stored returns what Pebble has of a key, nil if it has nothing; valid until closer is called.
func (o *overlay[V]) stored(key []byte) (value []byte, closer func() error, err error) {
	o.scratch = append(o.scratch[:len(o.prefix)], key...)
	value, c, err := o.get()
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, o.db.fail("read", err)
	}
	return value, c.Close, nil
}

// get reads the key in scratch, and measures some of the reads: a clock costs as much as a key that Pebble has at hand.
func (o *overlay[V]) get() ([]byte, io.Closer, error) {
	took := o.db.options.ReadTook
	if o.db.reads++; took == nil || o.db.reads%readsPerSample != 0 {
		return o.db.pebble.Get(o.scratch)
	}
	began := time.Now()
	defer func() { took(o.store, time.Since(began)) }()
	return o.db.pebble.Get(o.scratch)
}

func (o *overlay[V]) decode(stored []byte) (value V, timestampMs int64, err error) {
	if len(stored) < timestampBytes {
		return value, 0, o.db.fail("decode", fmt.Errorf("a value of %d bytes has no timestamp", len(stored)))
	}
	value, err = o.codec.Decode(stored[timestampBytes:])
	if err != nil {
		return value, 0, fmt.Errorf("decode a value with codec %s in %s: %w", o.codec.Name(), o.db.dir, err)
	}
	return value, int64(binary.BigEndian.Uint64(stored)), nil
}

// set changes a slot's value.
func (o *overlay[V]) set(n uint32, value V, timestampMs int64) {
	s := o.table.at(n)
	if s.state&slotDirty == 0 {
		o.markDirty(n, s)
	}
	s.value = value
	s.timestampMs = timestampMs
	s.state |= slotPresent
}

// remove deletes a slot's value. What is known to be absent stays as it is.
func (o *overlay[V]) remove(n uint32, timestampMs int64) {
	s := o.table.at(n)
	if s.state&(slotDirty|slotPresent) == 0 {
		return
	}
	if s.state&slotDirty == 0 {
		o.markDirty(n, s)
	}
	var none V
	s.value = none
	s.timestampMs = timestampMs
	s.state &^= slotPresent
}

func (o *overlay[V]) markDirty(n uint32, s *slot[V]) {
	if s.clean() {
		o.order.add(n)
	}
	s.state |= slotDirty
	o.dirty = append(o.dirty, n)
	o.db.dirtyBytes += o.weight(s)
}

// clean says that Pebble has what the slot has.
func (s *slot[V]) clean() bool { return s.state&(slotDirty|slotPrepared) == 0 && s.pending == 0 }

// weight is about what a slot takes in memory.
func (o *overlay[V]) weight(s *slot[V]) int64 {
	bytes := o.table.slotBytes() + int64(s.valueBytes)
	if s.keyBytes > inlineKeyMax {
		bytes += int64(s.keyBytes)
	}
	return bytes
}

// evict looks at some slots and frees those that are clean and were not used since it last came by. It says whether it has been around.
func (o *overlay[V]) evict(slots int) (around bool) {
	if o.table.room == 0 {
		return true
	}
	for range slots {
		s := o.table.at(o.hand)
		switch {
		case s.state&slotUsed == 0 || !s.clean():
		case s.state&slotRecent != 0:
			s.state &^= slotRecent
		default:
			if s.state&slotPresent != 0 {
				o.complete = false
			}
			o.db.cached -= o.weight(s)
			o.table.remove(o.hand)
		}
		if o.hand = o.table.after(o.hand); o.hand == 0 {
			return true
		}
	}
	return false
}

// reset forgets all slots, since Pebble has been changed behind them; none may be dirty or pending.
func (o *overlay[V]) reset() {
	o.clear()
	o.complete = false
}

func (o *overlay[V]) clear() {
	o.db.cached -= o.table.unusedBytes()
	for _, chunk := range o.table.chunks {
		for i := range chunk {
			if s := &chunk[i]; s.state&slotUsed != 0 {
				o.db.cached -= o.weight(s)
			}
		}
	}
	o.table, o.hand = newTable[V](), 0
	o.dirty, o.prepared, o.accepted, o.pending = nil, nil, 0, nil
	o.order.forget()
}
