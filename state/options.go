package state

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	cacheBytesDefault   = 128 << 20
	flushBytesDefault   = 64 << 20
	flushRecordsDefault = 1 << 20
	flushIntervalMs     = 30_000
	blockCacheDefault   = 64 << 20
	openFilesDefault    = 1000
	memTableBytes       = 8 << 20
	memTablesMax        = 8   // Flush waits for the one before it, so there are two or three
	stopWritesFiles     = 500 // in level 0; compactions are far ahead of that
	bloomBitsPerKey     = 10
	evictedPerNewSlot   = 4 // slots looked at for each new one when the cache is full
	fileCacheShards     = 8
	restoredBytesMax    = 64 << 20
	readsPerSample      = 16
)

// Options say how to open a directory.
type Options struct {
	Dir    string // made if it is missing
	FS     vfs.FS // nil: the operating system's
	Stores []Spec // all stores; those on disk that are not among them are dropped. nil: as they are on disk
	Shared *Shared
	Logger *slog.Logger // nil: none

	CacheBytes   int64 // of values in memory, about; what is not in Pebble yet stays beyond it. 0: 128 MiB
	FlushBytes   int64 // of committed changes before they go to Pebble. 0: 64 MiB
	FlushRecords int   // of changed keys, likewise. 0: 1,048,576

	// ReadTook is told how long one in 16 of the look-ups took that memory had no answer to, by store; nil: nobody is. It is
	// called with the DB locked, and by the goroutines of queries as well.
	ReadTook func(store string, took time.Duration)
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = cacheBytesDefault
	}
	if o.FlushBytes == 0 {
		o.FlushBytes = flushBytesDefault
	}
	if o.FlushRecords == 0 {
		o.FlushRecords = flushRecordsDefault
	}
	return o
}

// Shared is what several DBs of a process have in common: the cache of blocks and that of open files. Safe for concurrent use.
type Shared struct {
	blocks *pebble.Cache
	files  *pebble.FileCache
}

// NewShared returns caches of that size; 0: 64 MiB of blocks, 1,000 files. The caller closes them when no DB uses them any more.
func NewShared(blockBytes int64, openFiles int) *Shared {
	if blockBytes == 0 {
		blockBytes = blockCacheDefault
	}
	if openFiles == 0 {
		openFiles = openFilesDefault
	}
	return &Shared{blocks: pebble.NewCache(blockBytes), files: pebble.NewFileCache(fileCacheShards, openFiles)}
}

// Close frees the caches.
func (s *Shared) Close() {
	s.files.Unref()
	s.blocks.Unref()
}
