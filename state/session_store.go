package state

import (
	"fmt"
)

// SessionStore has the sessions of each key. It belongs to the goroutine that owns its DB.
//
// All sessions of a key are one entry, in the store and in the changelog. They should be few: those that are open, and those that
// are kept for who reads them.
type SessionStore[K, V any] struct {
	db    *DB
	name  string
	keys  Codec[K]
	lists *overlay[sessionList[V]]
	index *timeIndex
	all   []space
	key   []byte // the last one that was encoded
}

// What a store has of its prefix in Pebble.
const (
	sessionListsPart = 0
	sessionIndexPart = 1
)

// OpenSession returns the store that d describes, which must be one of Options.Stores; the same one each time. Errors: ErrSpec.
func OpenSession[K, V any](db *DB, d Session[K, V]) (*SessionStore[K, V], error) {
	return openStoreOnce(db, d.Spec(), func(r *registration) *SessionStore[K, V] {
		prefix := storePrefix(r.record.ID)
		s := &SessionStore[K, V]{
			db:    db,
			name:  d.name,
			keys:  d.key,
			lists: newOverlay(db, append(prefix, sessionListsPart), nil, Codec[sessionList[V]](sessionCodec[V]{d.value}), true, r.empty),
			index: newTimeIndex(db, append(prefix, sessionIndexPart), r.empty),
		}
		s.all = []space{s.lists, s.index.entries}
		return s
	})
}

func (d Session[K, V]) open(db *DB) error {
	_, err := OpenSession(db, d)
	return err
}

// Get returns a key's sessions by start, nil if it has none. The caller may change them, and then has to Put them.
func (s *SessionStore[K, V]) Get(key K) ([]SessionOf[V], error) {
	encoded, err := s.encode(key)
	if err != nil {
		return nil, err
	}
	slot, err := s.lists.lookup(encoded)
	if err != nil || slot == nil {
		return nil, err
	}
	return slot.value.sessions, nil
}

// Put sets a key's sessions, which must be ordered by start; none deletes the key. The slice and what its values point to belong to the
// store from then on; a slice from Get may be changed in place and put back.
func (s *SessionStore[K, V]) Put(key K, sessions []SessionOf[V], timestampMs int64) error {
	for i := range sessions {
		if sessions[i].EndMs < sessions[i].StartMs || i > 0 && sessions[i].StartMs < sessions[i-1].StartMs {
			return fmt.Errorf("put sessions into store %s: [%d, %d] is in the wrong order", s.name, sessions[i].StartMs, sessions[i].EndMs)
		}
	}
	encoded, err := s.encode(key)
	if err != nil {
		return err
	}
	n, err := s.lists.locate(encoded)
	if err != nil {
		return err
	}
	if len(sessions) == 0 {
		s.lists.remove(n, timestampMs)
		return nil
	}
	indexedMs := int64(noIndex)
	if slot := s.lists.table.at(n); slot.state&slotPresent != 0 {
		indexedMs = slot.value.indexedMs
	}
	s.lists.set(n, sessionList[V]{sessions: sessions, indexedMs: indexedMs}, timestampMs) // what is dirty is not evicted
	for i := range sessions {
		if indexedMs, err = s.index.cover(encoded, sessions[i].EndMs, indexedMs); err != nil {
			return err
		}
	}
	s.lists.table.at(n).value.indexedMs = indexedMs
	return nil
}

func (s *SessionStore[K, V]) encode(key K) ([]byte, error) {
	encoded, err := appendKey(s.key[:0], s.keys, key, s.name)
	if err == nil {
		s.key = encoded
	}
	return encoded, err
}

func (s *SessionStore[K, V]) spaces() []space          { return s.all }
func (s *SessionStore[K, V]) commit()                  {}
func (s *SessionStore[K, V]) write(*batchWriter) error { return nil }

func (s *SessionStore[K, V]) reset() error {
	s.lists.reset()
	s.index.entries.reset()
	s.index.forget()
	return nil
}

// restore takes a record of the changelog, and adds to the index what it needs. What the index had for a key before remains.
func (s *SessionStore[K, V]) restore(key, value []byte, timestampMs int64, put putRestored) error {
	put(s.lists.prefix, key, value, timestampMs)
	if value == nil {
		return nil
	}
	return readSessions(value, nil, func(_, endMs, _ int64, _ []byte) error {
		put(s.index.entries.prefix, appendIndexKey(nil, endMs, key), []byte{}, 0)
		return nil
	})
}
