package state

import (
	"context"
	"fmt"
)

// Lock takes the DB for its owner, so that no query runs meanwhile: the owner holds it while it uses the stores, and lets go of it now
// and then. When ctx ends first, its error is returned.
func (db *DB) Lock(ctx context.Context) error {
	select {
	case db.lock <- struct{}{}:
		return nil
	default:
	}
	select {
	case db.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the state in %s: %w", db.dir, ctx.Err())
	}
}

// Unlock gives the DB back.
func (db *DB) Unlock() { <-db.lock }
