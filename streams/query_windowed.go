package streams

import (
	"context"
	"iter"
	"time"

	"github.com/millrace/millrace/state"
)

// FetchWindow is Get for the window of a key that begins at start.
func FetchWindow[K, V any](ctx context.Context, in Queried, store state.Window[K, V], key K, start time.Time) (value V, found bool, err error) {
	row, found, err := lookUp(in, store, store.KeyCodec(), key, func(db *state.DB) (state.WindowRow[K, V], bool, error) {
		return state.QueryWindow(ctx, db, store, key, start.UnixMilli())
	})
	return row.Value, found, err
}

// FetchWindows returns the windows of a key that begin in [from, to), oldest first. It looks for the key as Get does.
func FetchWindows[K, V any](ctx context.Context, in Queried, store state.Window[K, V], key K, from, to time.Time) ([]state.WindowRow[K, V], error) {
	rows, _, err := lookUp(in, store, store.KeyCodec(), key, func(db *state.DB) (rows []state.WindowRow[K, V], found bool, err error) {
		for row, err := range state.QueryWindowFetch(ctx, db, store, key, from.UnixMilli(), to.UnixMilli()) {
			if err != nil {
				return nil, false, err
			}
			rows = append(rows, row)
		}
		return rows, len(rows) > 0, nil
	})
	return rows, err
}

// RangeWindows is Range for the windows that begin in [from, to), of keys in [fromKey, toKey); nil is open. Within a partition
// they come in the order of their starts.
func RangeWindows[K, V any](ctx context.Context, in Queried, store state.Window[K, V], fromKey, toKey *K, from, to time.Time) iter.Seq2[state.WindowRow[K, V], error] {
	return walk(in, store, func(db *state.DB) iter.Seq2[state.WindowRow[K, V], error] {
		return state.QueryWindowRange(ctx, db, store, fromKey, toKey, from.UnixMilli(), to.UnixMilli())
	})
}

// FetchSessions returns the sessions of a key, oldest first. It looks for the key as Get does.
func FetchSessions[K, V any](ctx context.Context, in Queried, store state.Session[K, V], key K) ([]state.SessionOf[V], error) {
	sessions, _, err := lookUp(in, store, store.KeyCodec(), key, func(db *state.DB) ([]state.SessionOf[V], bool, error) {
		sessions, err := state.QuerySession(ctx, db, store, key)
		return sessions, len(sessions) > 0, err
	})
	return sessions, err
}

// RangeSessions is Range for the sessions of keys in [from, to), nil being open.
func RangeSessions[K, V any](ctx context.Context, in Queried, store state.Session[K, V], from, to *K) iter.Seq2[state.SessionRow[K, V], error] {
	return walk(in, store, func(db *state.DB) iter.Seq2[state.SessionRow[K, V], error] {
		return state.QuerySessionRange(ctx, db, store, from, to)
	})
}
