package state

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Changes hands out what changed since the last call, each key once: stores by name, within a store the keys in the order in which they
// changed first. A nil value is a deletion, the timestamp that of the record that made the change. The slices stay valid, and as they
// are, until the next Flush, so a producer needs no copy. Changes made later belong to the next call. An error of emit is returned, and
// all that changed remains to be handed out.
//
// Values of window and session stores have their timestamp in front, 8 bytes big endian. Their changelog is retained for some time, so
// that the timestamps of its records have to be the wall clock: by those of the data, what is of last year would be deleted at once.
func (db *DB) Changes(emit func(store string, key, value []byte, timestampMs int64) error) error {
	if err := db.usable(); err != nil {
		return err
	}
	for _, r := range db.open {
		for _, s := range r.store.spaces() {
			err := s.changes(func(key, stamped []byte, timestampMs int64) error {
				return emit(r.name, key, r.unstamped(stamped), timestampMs)
			})
			if err != nil {
				db.spaces(space.refuse)
				return fmt.Errorf("changes of store %s: %w", r.name, err)
			}
		}
	}
	db.spaces(space.accept)
	db.dirtyBytes = 0
	return nil
}

// unstamped returns a value as the store's changelog has it.
func (r *registration) unstamped(stamped []byte) []byte {
	if stamped == nil || !r.isKV() {
		return stamped
	}
	return stamped[timestampBytes:]
}

// Commit says that Kafka has committed what Changes handed out, and which position that is. Queries see it from now on. It reaches the
// disk later: with the Flush that Commit makes when enough has come together, or the last one was 30 s ago by position.WrittenMs.
func (db *DB) Commit(position Position) error {
	if err := db.usable(); err != nil {
		return err
	}
	for _, r := range db.open {
		r.store.commit()
	}
	db.spaces(space.commit)
	db.position = db.position.advance(position)
	if db.flushedMs == 0 {
		db.flushedMs = position.WrittenMs
	}
	if db.flushDue() {
		return db.Flush()
	}
	return nil
}

func (db *DB) flushDue() bool {
	if db.arena.bytes >= db.options.FlushBytes || db.position.WrittenMs-db.flushedMs >= flushIntervalMs {
		return true
	}
	pending := 0
	db.spaces(func(s space) { pending += s.pendingCount() })
	return pending >= db.options.FlushRecords
}

// Flush writes what is committed and the position into Pebble, in one batch and in key order. It returns before all of it is on the
// disk: a crash leaves it whole or not at all, and nothing later without it.
func (db *DB) Flush() error {
	if err := db.usable(); err != nil {
		return err
	}
	if err := db.writeBatch(db.putPending); err != nil {
		return err
	}
	unfinished := false
	db.spaces(func(s space) {
		s.written()
		unfinished = unfinished || s.changed()
	})
	if !unfinished { // else what Changes handed out still lies there
		db.arena.reset()
	}
	db.trim()
	return nil
}

// putPending fills the batch of a flush.
func (db *DB) putPending(w *batchWriter) error {
	for _, r := range db.open {
		if err := r.store.write(w); err != nil {
			return err
		}
	}
	for _, r := range db.open {
		for _, s := range r.store.spaces() {
			if err := s.write(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeBatch writes one batch with the position, once the one before it is on disk: so Pebble never has to make its writer wait, which
// would be for ever if it cannot write.
func (db *DB) writeBatch(fill func(w *batchWriter) error) error {
	if err := db.awaitFlush(); err != nil {
		return err
	}
	position, err := db.position.encode()
	if err != nil {
		return fmt.Errorf("encode position: %w", err)
	}
	db.writer.batch = db.pebble.NewBatch()
	defer db.writer.batch.Close()
	if err := db.writer.batch.Set(positionKey, position, nil); err != nil {
		return db.fail("write", err)
	}
	if err := fill(&db.writer); err != nil {
		return db.fail("write", err)
	}
	if err := db.writer.batch.Commit(pebble.NoSync); err != nil {
		return db.fail("write", err)
	}
	if db.flushing, err = db.pebble.AsyncFlush(); err != nil {
		return db.fail("write", err)
	}
	db.stored = db.position.clone()
	db.flushedMs = db.position.WrittenMs
	return nil
}

// awaitFlush waits until the last batch is on disk.
func (db *DB) awaitFlush() error {
	if db.flushing == nil {
		return nil
	}
	select {
	case <-db.flushing:
		db.flushing = nil
		return db.usable()
	case <-db.fence.broken:
		return db.fail("write", db.fence.failed())
	}
}
