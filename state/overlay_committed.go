package state

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// committed returns a copy of what is committed of a key: the timestamp and the encoded value; nil if there is nothing.
func (o *overlay[V]) committed(key []byte) ([]byte, error) {
	if err := o.db.usable(); err != nil {
		return nil, err
	}
	if n, found := o.table.find(key, o.table.hash(key)); found {
		if value, known, err := o.committedSlot(o.table.at(n)); known || err != nil {
			return value, err
		}
	} else if o.complete {
		return nil, nil
	}
	stored, closer, err := o.stored(key)
	if err != nil || stored == nil {
		return nil, err
	}
	value := slices.Clone(stored)
	return value, closer()
}

// committedSlot returns a copy of what is committed of a slot; known is false if Pebble has to be asked.
func (o *overlay[V]) committedSlot(s *slot[V]) (value []byte, known bool, err error) {
	if s.state&(slotDirty|slotPrepared) != 0 {
		if s.pending == 0 {
			return nil, false, nil
		}
		if c := o.db.arena.at(s.pending); !c.deleted {
			value = slices.Clone(c.value)
		}
		return value, true, nil
	}
	if s.state&slotPresent == 0 {
		return nil, true, nil
	}
	value, err = o.encodeValue(s)
	return value, true, err
}

// committedRange visits copies of what is committed in [from, to).
func (o *overlay[V]) committedRange(from, to []byte, visit func(key, value []byte) (more bool)) error {
	return o.merge(from, to, func(key []byte, s *slot[V], stored []byte) (bool, error) {
		if s != nil {
			value, known, err := o.committedSlot(s)
			if err != nil {
				return false, err
			}
			if known {
				stored = value
			}
		}
		if stored == nil {
			return true, nil
		}
		return visit(slices.Clone(key), slices.Clone(stored)), nil
	})
}

// encodeValue returns a slot's value as Pebble would have it.
func (o *overlay[V]) encodeValue(s *slot[V]) ([]byte, error) {
	encoded, err := o.codec.Append(binary.BigEndian.AppendUint64(nil, uint64(s.timestampMs)), s.value)
	if err != nil {
		return nil, fmt.Errorf("encode a value with codec %s: %w", o.codec.Name(), err)
	}
	return encoded, nil
}
