package state

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// Open opens or makes a directory. Nothing is read but a few keys, whatever its size: what a crash has taken is not looked for, since
// Position tells from where to replay. Errors: ErrLocked, ErrSpec, ErrDamaged.
func Open(options Options) (*DB, error) {
	options = options.withDefaults()
	db := &DB{
		dir:        options.Dir,
		options:    options,
		logger:     options.Logger,
		lock:       make(chan struct{}, 1),
		registered: map[string]*registration{},
	}
	db.fence = newFence(options.FS, options.Dir, db.backgroundError)
	shared := options.Shared
	if shared == nil {
		shared = NewShared(0, 0)
		db.shared = shared
	}
	if err := db.openPebble(shared); err != nil {
		db.freeShared()
		return nil, err
	}
	db.fence.patient.Store(true)
	if err := db.loadMeta(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) openPebble(shared *Shared) (err error) {
	options := &pebble.Options{
		FS:                          db.fence,
		Cache:                       shared.blocks,
		FileCache:                   shared.files,
		DisableWAL:                  true, // the changelogs are the log
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: memTablesMax,
		L0StopWritesThreshold:       stopWritesFiles,
		Logger:                      pebbleLogger{db},
		EventListener:               &pebble.EventListener{BackgroundError: func(err error) { _ = db.fence.fail(err) }, DataCorruption: db.corruption},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
	}
	if err := makeDir(db.options.FS, db.dir); err != nil {
		return openFailure(db.dir, err)
	}
	if db.pebble, err = pebble.Open(db.dir, options); err != nil {
		return openFailure(db.dir, err)
	}
	if err := db.fence.failed(); err != nil {
		return errors.Join(openFailure(db.dir, err), db.pebble.Close())
	}
	return nil
}

func (db *DB) freeShared() {
	if db.shared != nil {
		db.shared.Close()
	}
}

// loadMeta reads what the directory says of itself, and registers the stores.
func (db *DB) loadMeta() error {
	format, err := db.meta(formatKey)
	if err != nil {
		return err
	}
	if format != nil && string(format) != formatVersion {
		return fmt.Errorf("open state directory %s: its format is %q and this version knows %q; use the version that wrote it, or remove the directory",
			db.dir, format, formatVersion)
	}
	position, err := db.meta(positionKey)
	if err != nil {
		return err
	}
	if position != nil {
		if db.stored, err = decodePosition(position); err != nil {
			return failure("open", db.dir, err)
		}
		db.position = db.stored.clone()
	}
	batch := db.pebble.NewBatch()
	defer batch.Close()
	if format == nil {
		if err := batch.Set(formatKey, []byte(formatVersion), nil); err != nil {
			return err
		}
	}
	if err := db.registerAll(batch); err != nil {
		return err
	}
	if batch.Empty() {
		return nil
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return db.fail("write", err)
	}
	return nil
}

func (db *DB) meta(key []byte) ([]byte, error) {
	value, closer, err := db.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, failure("open", db.dir, err)
	}
	return slices.Clone(value), closer.Close()
}

// registerAll matches the stores on disk with those that are asked for: a store that is new gets an id, one that is gone is dropped.
func (db *DB) registerAll(batch *pebble.Batch) error {
	records, err := db.storeRecords()
	if err != nil {
		return err
	}
	wanted := map[string]Spec{}
	for _, s := range db.options.Stores {
		wanted[s.Name] = s
		record, found := records[s.Name]
		if found {
			if err := record.check(s, db.dir); err != nil {
				return err
			}
		} else {
			id, err := freeID(records)
			if err != nil {
				return fmt.Errorf("open store %s in %s: %w", s.Name, db.dir, err)
			}
			record = newStoreRecord(id, s)
			records[s.Name] = record
			if err := writeRecord(batch, s.Name, record); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(records)) {
		spec, isWanted := wanted[name]
		if !isWanted && db.options.Stores != nil {
			if err := db.drop(batch, name, records[name]); err != nil {
				return err
			}
			continue
		}
		if err := db.register(name, records[name], spec); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) storeRecords() (map[string]storeRecord, error) {
	iterator, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: []byte(storeKeyPrefix), UpperBound: successor([]byte(storeKeyPrefix))})
	if err != nil {
		return nil, failure("open", db.dir, err)
	}
	records := map[string]storeRecord{}
	for ok := iterator.First(); ok; ok = iterator.Next() {
		record, err := decodeStoreRecord(iterator.Value())
		if err != nil {
			return nil, errors.Join(failure("open", db.dir, err), iterator.Close())
		}
		records[string(iterator.Key()[len(storeKeyPrefix):])] = record
	}
	if err := errors.Join(iterator.Error(), iterator.Close()); err != nil {
		return nil, failure("open", db.dir, err)
	}
	return records, nil
}

func freeID(records map[string]storeRecord) (uint16, error) {
	used := map[uint16]bool{}
	for _, r := range records {
		used[r.ID] = true
	}
	for id := 1; id <= storeIDMax; id++ {
		if !used[uint16(id)] {
			return uint16(id), nil
		}
	}
	return 0, fmt.Errorf("%d stores are the most that a directory has", storeIDMax)
}

func writeRecord(batch *pebble.Batch, name string, record storeRecord) error {
	data, err := record.encode()
	if err != nil {
		return err
	}
	return batch.Set([]byte(storeKeyPrefix+name), data, nil)
}

// drop deletes a store that is not asked for any more, and its position with it.
func (db *DB) drop(batch *pebble.Batch, name string, record storeRecord) error {
	db.logger.Info("dropping a store that the topology does not have any more", "store", name, "dir", db.dir)
	delete(db.position.Changelogs, name)
	prefix := storePrefix(record.ID)
	if err := batch.DeleteRange(prefix, successor(prefix), nil); err != nil {
		return err
	}
	return batch.Delete([]byte(storeKeyPrefix+name), nil)
}

func (db *DB) register(name string, record storeRecord, spec Spec) error {
	empty, err := db.isEmpty(storePrefix(record.ID))
	if err != nil {
		return failure("open", db.dir, err)
	}
	db.names = append(db.names, name)
	db.registered[name] = &registration{name: name, record: record, spec: spec, empty: empty}
	return nil
}

// isEmpty says whether Pebble has no key that begins with prefix.
func (db *DB) isEmpty(prefix []byte) (bool, error) {
	iterator, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: successor(prefix)})
	if err != nil {
		return false, err
	}
	found := iterator.First()
	return !found, errors.Join(iterator.Error(), iterator.Close())
}

// backgroundError ends the DB when the fence breaks: what Pebble could not write it would try to write for ever.
func (db *DB) backgroundError(err error) { db.end("write", err) }

// corruption ends the DB. Whoever reads what is damaged gets an error as well.
func (db *DB) corruption(info pebble.DataCorruptionInfo) {
	db.end("read "+info.Path, info.Details)
}

// pebbleLogger hands on what Pebble logs. It calls Fatalf where it cannot go on, and goes on if Fatalf returns.
type pebbleLogger struct{ db *DB }

func (l pebbleLogger) Infof(format string, args ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.db.logger.Error("state on disk", slog.String("dir", l.db.dir), slog.String("reason", fmt.Sprintf(format, args...)))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	_ = l.db.fence.fail(fmt.Errorf(format, args...))
}
