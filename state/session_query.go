package state

import (
	"context"
	"fmt"
	"iter"
)

// QuerySession returns what is committed of a key's sessions, by start, as a copy. Safe for concurrent use; it waits for the owner to let
// go of the DB, or for ctx. A store that is not open yet has nothing.
func QuerySession[K, V any](ctx context.Context, db *DB, d Session[K, V], key K) ([]SessionOf[V], error) {
	encoded, err := appendKey(nil, d.key, key, d.name)
	if err != nil {
		return nil, err
	}
	stored, err := queryOne(ctx, db, func() ([]byte, error) {
		s, err := openedSession(db, d)
		if s == nil || err != nil {
			return nil, err
		}
		return s.lists.committed(encoded)
	})
	if stored == nil || err != nil {
		return nil, err
	}
	return decodeSessions(d, stored)
}

// QuerySessionRange walks over the committed sessions of the keys in [from, to), nil being open, ordered by the bytes of the key and then
// by start. It reads some hundred keys at a time, so what is committed while it runs may be seen in later rows. Safe for concurrent use.
// An error ends it.
func QuerySessionRange[K, V any](ctx context.Context, db *DB, d Session[K, V], from, to *K) iter.Seq2[SessionRow[K, V], error] {
	return func(yield func(SessionRow[K, V], error) bool) {
		lower, upper, err := encodeBounds(d.key, from, to, d.name)
		if err != nil {
			yield(SessionRow[K, V]{}, err)
			return
		}
		rows := queryRange(ctx, db, lower, upper, func() (committedReader, error) {
			s, err := openedSession(db, d)
			if s == nil || err != nil {
				return nil, err
			}
			return s.lists, nil
		})
		for r, err := range rows {
			if err == nil {
				var more bool
				if more, err = yieldSessions(d, r, yield); err == nil && !more {
					return
				}
			}
			if err != nil {
				yield(SessionRow[K, V]{}, err)
				return
			}
		}
	}
}

func yieldSessions[K, V any](d Session[K, V], r committedRow, yield func(SessionRow[K, V], error) bool) (more bool, err error) {
	key, err := decodeKey(d.key, r.key, d.name)
	if err != nil {
		return false, err
	}
	sessions, err := decodeSessions(d, r.value)
	if err != nil {
		return false, err
	}
	for _, session := range sessions {
		if !yield(SessionRow[K, V]{Key: key, SessionOf: session}, nil) {
			return false, nil
		}
	}
	return true, nil
}

// openedSession returns the store if it is open, nil if not. The lock must be held.
func openedSession[K, V any](db *DB, d Session[K, V]) (*SessionStore[K, V], error) {
	if err := db.usable(); err != nil {
		return nil, err
	}
	if r := db.registered[d.name]; r == nil || r.store == nil {
		return nil, nil
	}
	return OpenSession(db, d)
}

func decodeSessions[K, V any](d Session[K, V], stored []byte) ([]SessionOf[V], error) {
	list, err := sessionCodec[V]{d.value}.Decode(stored[timestampBytes:])
	if err != nil {
		return nil, fmt.Errorf("decode the sessions of a key of store %s with codec %s: %w", d.name, d.value.Name(), err)
	}
	return list.sessions, nil
}
