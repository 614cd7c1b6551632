package state

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// sparsePending is how many slots there must be for each pending one so that sorting those is faster than looking at all.
const sparsePending = 16

// changes encodes what is dirty, in the order in which it first became so, and hands it out, values with their timestamps in front.
// accept or refuse ends it.
func (o *overlay[V]) changes(emit func(key, stamped []byte, timestampMs int64) error) error {
	for _, n := range o.dirty {
		s := o.table.at(n)
		encoded, ref, err := o.encode(s)
		if err != nil {
			return err
		}
		o.prepared = append(o.prepared, preparedSlot{n, ref})
		s.state = s.state&^slotDirty | slotPrepared
		if !o.logged {
			continue
		}
		keyStart := entryHeaderBytes + len(o.prefix)
		keyEnd := keyStart + int(s.keyBytes) + len(o.suffix)
		var stamped []byte
		if s.state&slotPresent != 0 {
			stamped = encoded[keyEnd:len(encoded):len(encoded)]
		}
		if err := emit(encoded[keyStart:keyEnd:keyEnd], stamped, s.timestampMs); err != nil {
			return err
		}
	}
	return nil
}

// encode puts a slot's key and value into the arena.
func (o *overlay[V]) encode(s *slot[V]) (encoded []byte, ref changeRef, err error) {
	room, ref := o.db.arena.reserve()
	encoded = append(room, make([]byte, entryHeaderBytes)...)
	encoded = append(encoded, o.prefix...)
	encoded = append(encoded, o.table.key(s)...)
	keyBytes := len(encoded) - entryHeaderBytes
	encoded = append(encoded, o.suffix...)
	valueStart := len(encoded)
	encoded = binary.BigEndian.AppendUint64(encoded, uint64(s.timestampMs))
	deleted := uint32(deletedBit)
	if s.state&slotPresent != 0 {
		deleted = 0
		if encoded, err = o.codec.Append(encoded, s.value); err != nil {
			return nil, 0, fmt.Errorf("encode a value with codec %s: %w", o.codec.Name(), err)
		}
	}
	valueBytes := len(encoded) - valueStart
	binary.LittleEndian.PutUint32(encoded, uint32(len(o.suffix))<<28|uint32(keyBytes))
	binary.LittleEndian.PutUint32(encoded[4:], deleted|uint32(valueBytes))
	o.db.cached += int64(valueBytes) - int64(s.valueBytes)
	s.valueBytes = uint32(valueBytes)
	encoded, ref = o.db.arena.keep(encoded, ref)
	return encoded, ref, nil
}

// accept says that all of Changes was given out.
func (o *overlay[V]) accept() {
	o.dirty = o.dirty[:0]
	o.accepted = len(o.prepared)
}

// refuse says that it was not: what is dirty remains so.
func (o *overlay[V]) refuse() {
	for _, p := range o.prepared[o.accepted:] {
		s := o.table.at(p.n)
		s.state = s.state&^slotPrepared | slotDirty
	}
	o.prepared = o.prepared[:o.accepted]
}

// commit says that Kafka has what Changes gave out.
func (o *overlay[V]) commit() {
	for _, p := range o.prepared {
		s := o.table.at(p.n)
		s.state &^= slotPrepared
		if s.pending == 0 {
			o.pending = append(o.pending, p.n)
		}
		s.pending = p.ref
	}
	o.prepared, o.accepted = o.prepared[:0], 0
}

// write puts what is pending into a batch, in key order.
func (o *overlay[V]) write(w *batchWriter) error {
	w.items = w.items[:0]
	o.eachPending(func(s *slot[V]) { w.items = append(w.items, sortItem{value: uint64(s.pending)}) })
	common := o.commonPrefix()
	i := 0
	o.eachPending(func(s *slot[V]) {
		w.items[i].head = head(o.table.key(s)[common:])
		i++
	})
	w.sort(func(ref uint64) []byte { return o.db.arena.at(changeRef(ref)).key })
	for _, item := range w.items {
		if err := w.put(o.db.arena.at(changeRef(item.value))); err != nil {
			return err
		}
	}
	return nil
}

// commonPrefix returns how many bytes all pending keys begin with in common.
func (o *overlay[V]) commonPrefix() int {
	var common prefix
	o.eachPending(func(s *slot[V]) { common.add(o.table.key(s)) })
	return len(common.bytes)
}

// eachPending visits the pending slots in the order in which they lie in memory: in any other one, each would be a miss of the caches.
func (o *overlay[V]) eachPending(visit func(s *slot[V])) {
	if len(o.pending) < o.table.room/sparsePending {
		slices.Sort(o.pending)
		for _, n := range o.pending {
			visit(o.table.at(n))
		}
		return
	}
	for _, chunk := range o.table.chunks {
		for i := range chunk {
			if s := &chunk[i]; s.pending != 0 {
				visit(s)
			}
		}
	}
}

// written says that Pebble has what write put into the batch.
func (o *overlay[V]) written() {
	o.eachPending(func(s *slot[V]) { s.pending = 0 })
	o.pending = o.pending[:0]
	o.order.forget()
}

func (o *overlay[V]) slotCount() int {
	if !o.logged {
		return 0
	}
	return o.table.count
}

func (o *overlay[V]) pendingCount() int { return len(o.pending) }

// changed says whether anything is not committed yet.
func (o *overlay[V]) changed() bool { return len(o.dirty)+len(o.prepared) > 0 }
