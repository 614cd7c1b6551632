package state

// KVStore has a value for each key. It belongs to the goroutine that owns its DB.
type KVStore[K, V any] struct {
	db      *DB
	name    string
	prefix  []byte
	keys    Codec[K]
	overlay *overlay[V]
	all     []space // the overlay
	key     []byte  // the last one that was encoded
	entry   Entry[V]
}

// OpenKV returns the store that d describes, which must be one of Options.Stores; the same one each time. Errors: ErrSpec.
func OpenKV[K, V any](db *DB, d KV[K, V]) (*KVStore[K, V], error) {
	return openStoreOnce(db, d.Spec(), func(r *registration) *KVStore[K, V] {
		prefix := storePrefix(r.record.ID)
		overlay := newOverlay(db, prefix, nil, d.value, true, r.empty)
		return &KVStore[K, V]{db: db, name: d.name, prefix: prefix, keys: d.key, overlay: overlay, all: []space{overlay}}
	})
}

func (d KV[K, V]) open(db *DB) error {
	_, err := OpenKV(db, d)
	return err
}

// Get returns a key's value.
func (s *KVStore[K, V]) Get(key K) (value V, found bool, err error) {
	encoded, err := s.encode(key)
	if err != nil {
		return value, false, err
	}
	slot, err := s.overlay.lookup(encoded)
	if err != nil || slot == nil {
		return value, false, err
	}
	return slot.value, true, nil
}

// Put sets a key's value, with the timestamp of the record that is being processed.
func (s *KVStore[K, V]) Put(key K, value V) error {
	entry, err := s.Edit(key)
	if err != nil {
		return err
	}
	entry.Set(value, s.db.timeMs)
	return nil
}

// Delete deletes a key, likewise. It is no error if there is none.
func (s *KVStore[K, V]) Delete(key K) error {
	entry, err := s.Edit(key)
	if err != nil {
		return err
	}
	entry.Delete()
	return nil
}

// Edit looks a key up once, to read its value and then change it. The entry is valid until the next call on the DB or one of its stores.
func (s *KVStore[K, V]) Edit(key K) (*Entry[V], error) {
	encoded, err := s.encode(key)
	if err != nil {
		return nil, err
	}
	n, err := s.overlay.locate(encoded)
	if err != nil {
		return nil, err
	}
	s.entry.open(s.overlay, n)
	return &s.entry, nil
}

func (s *KVStore[K, V]) encode(key K) ([]byte, error) {
	encoded, err := appendKey(s.key[:0], s.keys, key, s.name)
	if err == nil {
		s.key = encoded
	}
	return encoded, err
}

func (s *KVStore[K, V]) spaces() []space { return s.all }
func (s *KVStore[K, V]) commit()         {}

func (s *KVStore[K, V]) reset() error {
	s.overlay.reset()
	return nil
}

func (s *KVStore[K, V]) write(*batchWriter) error { return nil }

func (s *KVStore[K, V]) restore(key, value []byte, timestampMs int64, put putRestored) error {
	put(s.prefix, key, value, timestampMs)
	return nil
}

// Entry is a key that was looked up to be changed.
type Entry[V any] struct {
	Value       V
	Found       bool
	TimestampMs int64 // of the value; only if it was found

	overlay *overlay[V]
	slot    uint32
}

func (e *Entry[V]) open(o *overlay[V], n uint32) {
	s := o.table.at(n)
	e.Value, e.TimestampMs, e.Found = s.value, s.timestampMs, s.state&slotPresent != 0
	e.overlay, e.slot = o, n
}

// Set sets the value. A value with pointers belongs to the store from then on, and may be changed in place before the next Set.
func (e *Entry[V]) Set(value V, timestampMs int64) {
	e.Value, e.TimestampMs, e.Found = value, timestampMs, true
	e.overlay.set(e.slot, value, timestampMs)
}

// Delete deletes the key, with the timestamp of the record that is being processed.
func (e *Entry[V]) Delete() {
	var none V
	e.Value, e.TimestampMs, e.Found = none, 0, false
	e.overlay.remove(e.slot, e.overlay.db.timeMs)
}
