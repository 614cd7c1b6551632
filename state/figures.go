package state

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
)

// Figures are what a DB tells of itself: for metrics.
type Figures struct {
	StoreBytes   map[string]int64 // on disk, estimated, by store; what was not flushed yet is not in it
	StoreEntries map[string]int64 // keys, likewise those in all windows, about: as many as memory has, or as the files tell

	DiskBytes           int64 // all files
	MemtableBytes       int64
	CompactionDebtBytes int64 // that compactions have yet to rewrite
	LevelZeroFiles      int64
	ReadAmplification   int64 // how many files a look-up may have to ask
	BlockCacheBytes     int64 // of the block cache, which tasks may share
	BlockCacheHits      int64 // likewise, since it was made
	BlockCacheMisses    int64
}

// Figures returns what is so now. Safe for concurrent use; it waits for the owner to let go of the DB, or for ctx.
func (db *DB) Figures(ctx context.Context) (Figures, error) {
	if err := db.Lock(ctx); err != nil {
		return Figures{}, err
	}
	defer db.Unlock()
	if err := db.usable(); err != nil {
		return Figures{}, err
	}
	m := db.pebble.Metrics()
	f := Figures{
		StoreBytes: map[string]int64{}, StoreEntries: map[string]int64{},
		DiskBytes: int64(m.DiskSpaceUsage()), MemtableBytes: int64(m.MemTable.Size), CompactionDebtBytes: int64(m.Compact.EstimatedDebt),
		LevelZeroFiles: m.Levels[0].TablesCount, ReadAmplification: int64(m.ReadAmp()),
		BlockCacheBytes: m.BlockCache.Size, BlockCacheHits: m.BlockCache.Hits, BlockCacheMisses: m.BlockCache.Misses,
	}
	for _, name := range db.names {
		prefix := storePrefix(db.registered[name].record.ID)
		bytes, err := db.pebble.EstimateDiskUsage(prefix, successor(prefix))
		if err != nil {
			return Figures{}, failure("estimate the size of store "+name, db.dir, err)
		}
		f.StoreBytes[name] = int64(bytes)
		if f.StoreEntries[name], err = db.entries(db.registered[name], int64(bytes)); err != nil {
			return Figures{}, failure("estimate the entries of store "+name, db.dir, err)
		}
	}
	return f, nil
}

// entries is about how many entries a store has, by what is known without reading. What the files tell counts a key as often as files
// have it, and the store's share of a file as large as its share of the bytes.
func (db *DB) entries(r *registration, storeBytes int64) (int64, error) {
	inMemory := 0
	if r.store != nil {
		for _, s := range r.store.spaces() {
			inMemory += s.slotCount()
		}
	}
	prefix := storePrefix(r.record.ID)
	levels, err := db.pebble.SSTables(pebble.WithKeyRangeFilter(prefix, successor(prefix)))
	if err != nil {
		return 0, err
	}
	var inFiles, fileBytes float64
	for _, level := range levels {
		for _, table := range level {
			inFiles += float64(table.TableStats.NumEntries) - 2*float64(table.TableStats.NumDeletions)
			fileBytes += float64(table.Size)
		}
	}
	if fileBytes > 0 {
		inFiles *= min(1, float64(storeBytes)/fileBytes)
	}
	return max(int64(inMemory), int64(inFiles)), nil
}
