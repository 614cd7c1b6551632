package state

import "context"

// Checkpoint writes what is committed and makes a copy of the directory that Open opens, with links where the file system has them. dir
// must not exist and be on the same file system. It takes the lock, and may be called from any goroutine; a failure of it leaves the DB as
// it was unless the DB's own files failed.
func (db *DB) Checkpoint(ctx context.Context, dir string) error {
	if err := db.Lock(ctx); err != nil {
		return err
	}
	defer db.Unlock()
	if err := db.usable(); err != nil {
		return err
	}
	if err := db.writeAll(); err != nil {
		return err
	}
	if err := db.pebble.Checkpoint(dir); err != nil {
		return checkpointFailure(db.dir, dir, err)
	}
	return nil
}
