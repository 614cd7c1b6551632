package state

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
)

// QueryWindow returns what is committed of a key in the window that begins at startMs, as a copy. Safe for concurrent use; it waits for
// the owner to let go of the DB, or for ctx. A store that is not open yet has nothing.
func QueryWindow[K, V any](ctx context.Context, db *DB, d Window[K, V], key K, startMs int64) (row WindowRow[K, V], found bool, err error) {
	rows, err := queryKeyWindows(ctx, db, d, key, func(s *segments[V]) []*segment[V] { return s.committedAt(startMs) })
	if len(rows) == 0 || err != nil {
		return row, false, err
	}
	return rows[0], true, nil
}

// QueryWindowFetch walks over what is committed of a key in the windows that begin in [fromMs, toMs), oldest first, all of one moment.
// Safe for concurrent use. An error ends it.
func QueryWindowFetch[K, V any](ctx context.Context, db *DB, d Window[K, V], key K, fromMs, toMs int64) iter.Seq2[WindowRow[K, V], error] {
	return func(yield func(WindowRow[K, V], error) bool) {
		rows, err := queryKeyWindows(ctx, db, d, key, func(s *segments[V]) []*segment[V] { return s.committedWithin(fromMs, toMs) })
		if err != nil {
			yield(WindowRow[K, V]{}, err)
			return
		}
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// queryKeyWindows reads a key in some windows, under the lock.
func queryKeyWindows[K, V any](ctx context.Context, db *DB, d Window[K, V], key K, choose func(*segments[V]) []*segment[V]) (rows []WindowRow[K, V], err error) {
	encoded, err := appendKey(nil, d.key, key, d.name)
	if err != nil {
		return nil, err
	}
	if err := db.Lock(ctx); err != nil {
		return nil, err
	}
	defer db.Unlock()
	store, err := openedWindow(db, d)
	if store == nil || err != nil {
		return nil, err
	}
	for _, g := range choose(store.windows) {
		stored, err := store.windows.open(g).committed(encoded)
		if err != nil {
			return nil, err
		}
		if stored == nil {
			continue
		}
		row, err := decodeWindowRow(d, g.startMs, encoded, stored)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// QueryWindowRange walks over what is committed of the keys in [from, to), nil being open, in the windows that begin in [fromMs, toMs),
// ordered by start and then by the bytes of the key. It reads some hundred rows at a time, so what is committed while it runs may be
// seen in later rows. Safe for concurrent use. An error ends it.
func QueryWindowRange[K, V any](ctx context.Context, db *DB, d Window[K, V], from, to *K, fromMs, toMs int64) iter.Seq2[WindowRow[K, V], error] {
	return func(yield func(WindowRow[K, V], error) bool) {
		lower, upper, err := encodeBounds(d.key, from, to, d.name)
		if err != nil {
			yield(WindowRow[K, V]{}, err)
			return
		}
		starts, err := queryStarts(ctx, db, d, fromMs, toMs)
		if err != nil {
			yield(WindowRow[K, V]{}, err)
			return
		}
		for _, startMs := range starts {
			for r, err := range queryRange(ctx, db, lower, upper, func() (committedReader, error) { return committedWindows(db, d, startMs) }) {
				var row WindowRow[K, V]
				if err == nil {
					row, err = decodeWindowRow(d, startMs, r.key, r.value)
				}
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// queryStarts returns the starts in [fromMs, toMs) that have windows.
func queryStarts[K, V any](ctx context.Context, db *DB, d Window[K, V], fromMs, toMs int64) (starts []int64, err error) {
	if err := db.Lock(ctx); err != nil {
		return nil, err
	}
	defer db.Unlock()
	store, err := openedWindow(db, d)
	if store == nil || err != nil {
		return nil, err
	}
	for _, g := range store.windows.committedWithin(fromMs, toMs) {
		starts = append(starts, g.startMs)
	}
	return starts, nil
}

// committedWindows returns the windows that begin at startMs, nil if they are gone. The lock must be held.
func committedWindows[K, V any](db *DB, d Window[K, V], startMs int64) (committedReader, error) {
	store, err := openedWindow(db, d)
	if store == nil || err != nil {
		return nil, err
	}
	for _, g := range store.windows.committedAt(startMs) {
		return store.windows.open(g), nil
	}
	return nil, nil
}

// openedWindow returns the store if it is open, nil if not. The lock must be held.
func openedWindow[K, V any](db *DB, d Window[K, V]) (*WindowStore[K, V], error) {
	if err := db.usable(); err != nil {
		return nil, err
	}
	if r := db.registered[d.name]; r == nil || r.store == nil {
		return nil, nil
	}
	return OpenWindow(db, d)
}

func decodeWindowRow[K, V any](d Window[K, V], startMs int64, encoded, stored []byte) (row WindowRow[K, V], err error) {
	row.StartMs, row.TimestampMs = startMs, int64(binary.BigEndian.Uint64(stored))
	if row.Key, err = decodeKey(d.key, encoded, d.name); err != nil {
		return row, err
	}
	if row.Value, err = d.value.Decode(stored[timestampBytes:]); err != nil {
		return row, fmt.Errorf("decode a value of store %s with codec %s: %w", d.name, d.value.Name(), err)
	}
	return row, nil
}
