package state

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
)

// queryRowsMax is how many rows a query reads before it lets the owner go on.
const queryRowsMax = 256

// QueryKV returns what is committed of a key, as a copy. Safe for concurrent use; it waits for the owner to let go of the DB, or for ctx.
// A store that is not open yet has nothing.
func QueryKV[K, V any](ctx context.Context, db *DB, d KV[K, V], key K) (row Row[K, V], found bool, err error) {
	encoded, err := appendKey(nil, d.key, key, d.name)
	if err != nil {
		return row, false, err
	}
	stored, err := queryOne(ctx, db, func() ([]byte, error) {
		s, err := openedKV(db, d)
		if s == nil || err != nil {
			return nil, err
		}
		return s.overlay.committed(encoded)
	})
	if stored == nil || err != nil {
		return row, false, err
	}
	row, err = decodeRow(d, encoded, stored)
	return row, err == nil, err
}

// QueryKVRange walks over what is committed in [from, to), nil being open, in the order of the encoded keys. It reads some hundred rows at a
// time, so what is committed while it runs may be seen in later rows. Safe for concurrent use. An error ends it.
func QueryKVRange[K, V any](ctx context.Context, db *DB, d KV[K, V], from, to *K) iter.Seq2[Row[K, V], error] {
	return func(yield func(Row[K, V], error) bool) {
		lower, upper, err := encodeBounds(d.key, from, to, d.name)
		if err != nil {
			yield(Row[K, V]{}, err)
			return
		}
		rows := queryRange(ctx, db, lower, upper, func() (committedReader, error) {
			s, err := openedKV(db, d)
			if s == nil || err != nil {
				return nil, err
			}
			return s.overlay, nil
		})
		for r, err := range rows {
			var row Row[K, V]
			if err == nil {
				row, err = decodeRow(d, r.key, r.value)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// openedKV returns the store if it is open, nil if not. The lock must be held.
func openedKV[K, V any](db *DB, d KV[K, V]) (*KVStore[K, V], error) {
	if err := db.usable(); err != nil {
		return nil, err
	}
	if r := db.registered[d.name]; r == nil || r.store == nil {
		return nil, nil
	}
	return OpenKV(db, d)
}

func decodeRow[K, V any](d KV[K, V], encoded, stored []byte) (row Row[K, V], err error) {
	if row.Key, err = decodeKey(d.key, encoded, d.name); err != nil {
		return row, err
	}
	if row.Value, err = d.value.Decode(stored[timestampBytes:]); err != nil {
		return row, fmt.Errorf("decode a value of store %s with codec %s: %w", d.name, d.value.Name(), err)
	}
	row.TimestampMs = int64(binary.BigEndian.Uint64(stored))
	return row, nil
}
