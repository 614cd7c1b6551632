package state

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrExpired says that a window is written that was expired.
var ErrExpired = errors.New("the window has expired")

// WindowStore has a value for each key and start of a window. It belongs to the goroutine that owns its DB.
//
// Windows that begin at one time lie together. If there was none at that time before, all of them are known in memory, so the first
// record of a key in a new window reads nothing from Pebble.
type WindowStore[K, V any] struct {
	db          *DB
	name        string
	keys        Codec[K]
	windows     *segments[V]
	newestMs    int64 // start of the newest window that was restored
	retentionMs int64
	all         []space
	key         []byte // the last one that was encoded
	entry       Entry[V]
}

// OpenWindow returns the store that d describes, which must be one of Options.Stores; the same one each time. It looks up which
// windows there are, a seek for each start. What a restore passes over, the retention in Options.Stores decides. Errors: ErrSpec.
func OpenWindow[K, V any](db *DB, d Window[K, V]) (*WindowStore[K, V], error) {
	var loading error
	store, err := openStoreOnce(db, d.Spec(), func(r *registration) *WindowStore[K, V] {
		s := &WindowStore[K, V]{
			db:          db,
			name:        d.name,
			keys:        d.key,
			windows:     newSegments(db, storePrefix(r.record.ID), d.value),
			newestMs:    noFloor,
			retentionMs: r.spec.RetentionMs,
		}
		s.all = []space{s.windows}
		loading = s.windows.load()
		return s
	})
	return store, errors.Join(err, loading)
}

func (d Window[K, V]) open(db *DB) error {
	_, err := OpenWindow(db, d)
	return err
}

// Get returns a key's value in the window that begins at startMs.
func (s *WindowStore[K, V]) Get(key K, startMs int64) (value V, found bool, err error) {
	windows := s.windows.find(startMs)
	if windows == nil {
		return value, false, s.db.usable()
	}
	encoded, err := s.encode(key)
	if err != nil {
		return value, false, err
	}
	slot, err := windows.lookup(encoded)
	if err != nil || slot == nil {
		return value, false, err
	}
	return slot.value, true, nil
}

// Put sets a key's value in the window that begins at startMs, with the timestamp of the record that is being processed. Errors:
// ErrExpired.
func (s *WindowStore[K, V]) Put(key K, startMs int64, value V) error {
	entry, err := s.Edit(key, startMs)
	if err != nil {
		return err
	}
	entry.Set(value, s.db.timeMs)
	return nil
}

// Delete deletes a key from the window that begins at startMs, likewise. It is no error if it is not there.
func (s *WindowStore[K, V]) Delete(key K, startMs int64) error {
	if s.windows.find(startMs) == nil {
		return s.db.usable()
	}
	entry, err := s.Edit(key, startMs)
	if err != nil {
		return err
	}
	entry.Delete()
	return nil
}

// Edit looks a key up once in the window that begins at startMs, to read its value and then change it. The entry is valid until the
// next call on the DB or one of its stores. Errors: ErrExpired.
func (s *WindowStore[K, V]) Edit(key K, startMs int64) (*Entry[V], error) {
	encoded, err := s.encode(key)
	if err != nil {
		return nil, err
	}
	windows := s.windows.find(startMs)
	if windows == nil {
		if startMs < s.windows.floorMs {
			return nil, fmt.Errorf("store %s: window that begins at %d: %w: those before %d are gone", s.name, startMs, ErrExpired, s.windows.floorMs)
		}
		windows = s.windows.add(startMs)
	}
	n, err := windows.locate(encoded)
	if err != nil {
		return nil, err
	}
	s.entry.open(windows, n)
	return &s.entry, nil
}

// Expire gives back all windows that begin before a time, at the price of one deletion. It is seen at once, and becomes final with the
// next commit. The changelog is not told: its topic has a retention, and what is restored beyond it is expired again.
func (s *WindowStore[K, V]) Expire(startBeforeMs int64) error {
	s.windows.expire(startBeforeMs)
	return s.db.usable()
}

func (s *WindowStore[K, V]) encode(key K) ([]byte, error) {
	encoded, err := appendKey(s.key[:0], s.keys, key, s.name)
	if err == nil {
		s.key = encoded
	}
	return encoded, err
}

func (s *WindowStore[K, V]) spaces() []space          { return s.all }
func (s *WindowStore[K, V]) commit()                  {}
func (s *WindowStore[K, V]) write(*batchWriter) error { return nil }
func (s *WindowStore[K, V]) reset() error             { return s.windows.reset() }

// restore takes a record of the changelog: the key, then the start. It passes over windows that had expired when a later one began.
func (s *WindowStore[K, V]) restore(key, value []byte, timestampMs int64, put putRestored) error {
	end := len(key) - windowStartBytes
	if end < 0 {
		return fmt.Errorf("a key of %d bytes has no start of a window", len(key))
	}
	startMs := int64(binary.BigEndian.Uint64(key[end:]))
	s.newestMs = max(s.newestMs, startMs)
	if s.retentionMs > 0 && s.newestMs >= 0 && startMs < s.newestMs-s.retentionMs {
		return nil
	}
	put(s.windows.segmentPrefix(startMs), key[:end], value, timestampMs)
	return nil
}
