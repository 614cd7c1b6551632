package state

import (
	"context"
	"iter"
	"slices"
)

// committedReader is an overlay, for queries.
type committedReader interface {
	committedRange(from, to []byte, visit func(key, value []byte) (more bool)) error
}

type committedRow struct{ key, value []byte }

// queryOne runs a look-up under the lock.
func queryOne(ctx context.Context, db *DB, read func() ([]byte, error)) ([]byte, error) {
	if err := db.Lock(ctx); err != nil {
		return nil, err
	}
	defer db.Unlock()
	if err := db.usable(); err != nil {
		return nil, err
	}
	return read()
}

// queryRange reads a range in pieces, and holds the lock for one piece at a time. reader is asked for each piece; nil has no rows.
func queryRange(ctx context.Context, db *DB, from, to []byte, reader func() (committedReader, error)) iter.Seq2[committedRow, error] {
	return func(yield func(committedRow, error) bool) {
		for {
			rows, err := queryPiece(ctx, db, from, to, reader)
			if err != nil {
				yield(committedRow{}, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if len(rows) < queryRowsMax {
				return
			}
			from = append(slices.Clone(rows[len(rows)-1].key), 0) // the next key that there can be
		}
	}
}

func queryPiece(ctx context.Context, db *DB, from, to []byte, reader func() (committedReader, error)) (rows []committedRow, err error) {
	if err := db.Lock(ctx); err != nil {
		return nil, err
	}
	defer db.Unlock()
	r, err := reader()
	if r == nil || err != nil {
		return nil, err
	}
	err = r.committedRange(from, to, func(key, value []byte) bool {
		rows = append(rows, committedRow{key, value})
		return len(rows) < queryRowsMax
	})
	return rows, err
}
