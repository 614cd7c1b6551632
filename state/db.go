package state

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// DB is the stores of one task in one directory. On disk it has only what was committed, and a Position that says how far that goes:
// maybe an earlier one than the last, never a later one. What is missing after a crash, the changelogs have.
//
// One goroutine owns a DB and calls its methods and those of its stores. Queries come from any goroutine; see Lock.
type DB struct {
	dir     string
	options Options
	logger  *slog.Logger
	fence   *fence
	pebble  *pebble.DB
	shared  *Shared // its own, nil if it is the caller's
	lock    chan struct{}
	failure atomic.Pointer[error] // the first one; also ErrClosed
	told    atomic.Bool           // somebody was

	registered map[string]*registration
	names      []string        // of all registered stores, sorted
	open       []*registration // the opened stores, by name
	position   Position        // of what is committed
	stored     Position        // of what Pebble has
	flushedMs  int64           // wall time of the last Flush, as commits tell it; 0: none yet
	flushing   <-chan struct{} // closed when all of the last Flush is on disk

	arena      arena
	writer     batchWriter
	timeMs     int64
	dirtyBytes int64
	cached     int64     // bytes of overlays and their slots
	reads      int64     // of keys in Pebble
	resident   []evictor // all overlays, for eviction
	evicting   int       // the one that is being looked at
	restored   int64     // bytes of what Restore has taken
}

// registration is a store on disk.
type registration struct {
	name     string
	record   storeRecord
	spec     Spec        // as the directory was opened with it; zero if that was with no stores in particular
	empty    bool        // nothing was on disk at Open, and nothing has been restored since
	store    openStore   // nil until it is opened
	restored []changeRef // not yet in Pebble
}

// isKV says whether the store's changelog has its values as they are.
func (r *registration) isKV() bool { return r.record.Kind == KindKV.String() }

// openStore is what a DB asks of a store.
type openStore interface {
	// spaces are the store's overlays, in the order of their prefixes.
	spaces() []space
	// commit is called when a transaction is, before its overlays are told.
	commit()
	// write puts what is not in an overlay into the batch of a flush, ahead of all that is.
	write(w *batchWriter) error
	// restore puts what a record of the changelog changes in Pebble; a nil value is a deletion.
	restore(key, value []byte, timestampMs int64, put putRestored) error
	// reset forgets all that memory has, since Pebble has been changed by a restore.
	reset() error
}

// putRestored takes a change that a record of the changelog makes. It keeps no slice.
type putRestored func(prefix, key, value []byte, timestampMs int64)

// space is an overlay or several, whatever the values are.
type space interface {
	changes(emit func(key, value []byte, timestampMs int64) error) error
	accept()
	refuse()
	commit()
	write(w *batchWriter) error
	written()
	pendingCount() int
	changed() bool
	// slotCount is how many keys are in memory that the changelog has.
	slotCount() int
}

// evictor is what holds slots.
type evictor interface {
	evict(slots int) (around bool)
}

// Position returns what the committed state contains: right after Open, what the disk has.
func (db *DB) Position() Position { return db.position.clone() }

// SetInput tells where an input goes on from what is committed, until the next Commit or RestoreDone tells anew.
func (db *DB) SetInput(topic string, next int64) {
	if db.position.Inputs == nil {
		db.position.Inputs = map[string]int64{}
	}
	db.position.Inputs[topic] = next
}

// SetTime tells the timestamp of the record that is being processed. Put and Delete of a KVStore write it.
func (db *DB) SetTime(timestampMs int64) { db.timeMs = timestampMs }

// DirtyBytes is about what memory holds of changes that are not committed.
func (db *DB) DirtyBytes() int64 { return db.dirtyBytes }

// CachedBytes returns about how much memory the values take that are in it, with all that finds them.
func (db *DB) CachedBytes() int64 { return db.cached }

// Dir returns the directory.
func (db *DB) Dir() string { return db.dir }

// usable returns the error that ended the DB, if one has.
func (db *DB) usable() error {
	if err := db.failure.Load(); err != nil {
		db.told.Store(true)
		return *err
	}
	return nil
}

// fail ends the DB with the first error that the disk had, which it returns.
func (db *DB) fail(operation string, err error) error {
	db.end(operation, err)
	return db.usable()
}

// end is fail where there is nobody to tell.
func (db *DB) end(operation string, err error) {
	if first := db.fence.failed(); first != nil {
		err = first
	}
	wrapped := failure(operation, db.dir, err)
	db.failure.CompareAndSwap(nil, &wrapped)
}

// spaces visits the overlays of all stores, by the stores' names.
func (db *DB) spaces(visit func(space)) {
	for _, r := range db.open {
		for _, s := range r.store.spaces() {
			visit(s)
		}
	}
}

// storeBelow returns the name of the store whose keys begin with prefix.
func (db *DB) storeBelow(prefix []byte) string {
	for _, name := range db.names {
		if bytes.HasPrefix(prefix, storePrefix(db.registered[name].record.ID)) {
			return name
		}
	}
	return ""
}

// makeRoom evicts what memory has too much of. Each new slot pays for some looks at others.
func (db *DB) makeRoom() {
	if db.cached > db.options.CacheBytes {
		db.evict(evictedPerNewSlot)
	}
}

// evict looks at that many slots, one overlay after the other. It says whether it has come to the end of one.
func (db *DB) evict(slots int) (around bool) {
	if db.evicting >= len(db.resident) {
		db.evicting = 0
	}
	around = db.resident[db.evicting].evict(slots)
	if around {
		db.evicting++
	}
	return around
}

// trim evicts what had to be kept until it was written.
func (db *DB) trim() {
	for rounds := 0; db.cached > db.options.CacheBytes && rounds < 2*len(db.resident); {
		if db.evict(chunkSlotsMax) {
			rounds++
		}
	}
}

// Close writes what is committed, never what is not, waits until it is on disk and frees the directory. Queries end with ErrClosed. A
// DB that is broken is closed as it is, without an error if the failure was told before.
func (db *DB) Close() error {
	db.lock <- struct{}{}
	defer db.Unlock()
	told := db.told.Load()
	broken := db.usable()
	if errors.Is(broken, ErrClosed) {
		return nil
	}
	var err error
	if broken == nil {
		err = db.writeAll()
	} else if !told {
		err = broken
	}
	closed := fmt.Errorf("use the state in %s: %w", db.dir, ErrClosed)
	db.failure.Store(&closed)
	close(db.fence.closed)
	if e := db.pebble.Close(); broken == nil && err == nil && e != nil {
		err = failure("close", db.dir, e)
	}
	if db.shared != nil {
		db.shared.Close()
	}
	return err
}

// writeAll brings what is committed to the disk.
func (db *DB) writeAll() error {
	if err := db.Flush(); err != nil {
		return err
	}
	return db.awaitFlush()
}
