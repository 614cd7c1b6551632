package state

import "context"

// Figures are what a DB tells of itself: for metrics.
type Figures struct {
	StoreBytes map[string]int64 // on disk, estimated, by store; what was not flushed yet is not in it

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
		StoreBytes: map[string]int64{},
		DiskBytes:  int64(m.DiskSpaceUsage()), MemtableBytes: int64(m.MemTable.Size), CompactionDebtBytes: int64(m.Compact.EstimatedDebt),
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
	}
	return f, nil
}
