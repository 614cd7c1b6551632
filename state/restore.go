package state

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Restore takes one record of a store's changelog, as Changes has handed it out, in the order of the changelog; a nil value is a
// deletion. It keeps no slice. It
// writes when 64 MiB have come together, without moving the position: until RestoreDone the state may contain more than the position
// says, which a replay from there heals, since the last record of each key wins.
func (db *DB) Restore(store string, key, value []byte, timestampMs int64) error {
	if err := db.usable(); err != nil {
		return err
	}
	r := db.registered[store]
	if r == nil {
		return fmt.Errorf("restore store %s in %s: it is not among the stores that the directory was opened with", store, db.dir)
	}
	if r.restored == nil {
		if err := db.beginRestore(r); err != nil {
			return err
		}
	}
	if err := db.restoreRecord(r, key, value, timestampMs); err != nil {
		return fmt.Errorf("restore store %s in %s: %w", store, db.dir, err)
	}
	if db.restored >= restoredBytesMax {
		return db.writeRestored()
	}
	return nil
}

// RestoreDone writes what Restore took, and with it the position that this is. Stores that the position does not name keep theirs.
func (db *DB) RestoreDone(position Position) error {
	if err := db.usable(); err != nil {
		return err
	}
	db.position = db.position.advance(position)
	if err := db.writeRestored(); err != nil {
		return err
	}
	for _, r := range db.registered {
		r.restored = nil
	}
	return nil
}

// beginRestore makes sure that a store's memory has nothing that Pebble has not.
func (db *DB) beginRestore(r *registration) error {
	if r.store == nil {
		return nil
	}
	for _, s := range r.store.spaces() {
		if s.changed() {
			return fmt.Errorf("restore store %s in %s: it has changes that are not committed", r.name, db.dir)
		}
		if s.pendingCount() > 0 {
			return db.Flush()
		}
	}
	return nil
}

// restoreRecord encodes what a record changes. Only for stores that are more than keys and values, the store must be open.
func (db *DB) restoreRecord(r *registration, key, value []byte, timestampMs int64) error {
	put := func(prefix, key, value []byte, timestampMs int64) {
		room, ref := db.arena.reserve()
		encoded, ref := db.arena.keep(appendChange(room, prefix, key, nil, value, timestampMs), ref)
		r.restored = append(r.restored, ref)
		db.restored += int64(len(encoded))
	}
	if value != nil && !r.isKV() {
		if len(value) < timestampBytes {
			return fmt.Errorf("a value of %d bytes, too short for the timestamp in front: this is not a record of its changelog", len(value))
		}
		timestampMs, value = int64(binary.BigEndian.Uint64(value)), value[timestampBytes:]
	}
	if r.store != nil {
		return r.store.restore(key, value, timestampMs, put)
	}
	if !r.isKV() {
		return errors.New("open the store first")
	}
	put(storePrefix(r.record.ID), key, value, timestampMs)
	return nil
}

// appendChange appends a change to the room of an arena; a nil value is a deletion.
func appendChange(room, prefix, key, suffix, value []byte, timestampMs int64) []byte {
	encoded := binary.LittleEndian.AppendUint32(room, uint32(len(suffix))<<28|uint32(len(prefix)+len(key)))
	valueBytes := uint32(timestampBytes + len(value))
	if value == nil {
		valueBytes |= deletedBit
	}
	encoded = binary.LittleEndian.AppendUint32(encoded, valueBytes)
	encoded = append(encoded, prefix...)
	encoded = append(encoded, key...)
	encoded = append(encoded, suffix...)
	encoded = binary.BigEndian.AppendUint64(encoded, uint64(timestampMs))
	return append(encoded, value...)
}

// writeRestored writes what was restored, the last record of each key.
func (db *DB) writeRestored() error {
	if err := db.writeBatch(db.writeRestoredChanges); err != nil {
		return err
	}
	for _, r := range db.registered {
		if r.restored == nil {
			continue
		}
		r.restored, r.empty = r.restored[:0], false
		if r.store == nil {
			continue
		}
		if err := r.store.reset(); err != nil {
			return err
		}
	}
	db.restored = 0
	db.arena.reset()
	return nil
}

func (db *DB) writeRestoredChanges(w *batchWriter) error {
	key := func(ref uint64) []byte { return db.arena.at(changeRef(ref)).key }
	for _, name := range db.names {
		r := db.registered[name]
		w.items = w.items[:0]
		for _, ref := range r.restored {
			w.items = append(w.items, sortItem{value: uint64(ref)})
		}
		w.sortByKey(key)
		for i, item := range w.items {
			c := db.arena.at(changeRef(item.value))
			if i+1 < len(w.items) && w.items[i+1].head == item.head && string(key(w.items[i+1].value)) == string(c.key) {
				continue
			}
			if err := w.put(c); err != nil {
				return err
			}
		}
	}
	return nil
}
