package log

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/millrace/millrace/internal/disk"
)

// Config is what a topic's configuration says about its logs. The zero value is not valid: start from DefaultConfig.
type Config struct {
	SegmentBytes         int64   // segment.bytes: a segment is rolled before it grows beyond this, at most 2^31-1
	SegmentMs            int64   // segment.ms: a segment is rolled when a batch is this much newer than its first one
	SegmentJitterMs      int64   // segment.jitter.ms: taken off SegmentMs, by a different amount for each segment
	SegmentIndexBytes    int64   // segment.index.bytes: a segment is rolled when one of its indexes has this size
	IndexIntervalBytes   int64   // index.interval.bytes: at least so many bytes of batches between two index entries
	RetentionBytes       int64   // retention.bytes: -1 for no limit
	RetentionMs          int64   // retention.ms: -1 for no limit
	DeleteOldSegments    bool    // cleanup.policy has "delete"
	Compacted            bool    // cleanup.policy has "compact": Compact has something to do
	DeleteRetentionMs    int64   // delete.retention.ms: a tombstone stays this long after the first compaction that met it
	MinCompactionLagMs   int64   // min.compaction.lag.ms: segments with a record younger than this are not compacted
	MaxCompactionLagMs   int64   // max.compaction.lag.ms: older records are compacted whatever MinCleanableRatio says
	MinCleanableRatio    float64 // min.cleanable.dirty.ratio: what part must be new before a compaction is worth it
	LogAppendTime        bool    // message.timestamp.type is LogAppendTime
	ProducerExpirationMs int64   // producer.id.expiration.ms: an idle producer is forgotten after this
	Preallocate          bool    // preallocate: room for a whole segment is reserved when it is made; the file's size stays the valid end
	Direct               bool    // batches gather in memory and Sync writes them past the page cache; where that cannot be done, they are buffered
}

// DefaultConfig is Kafka's default configuration.
func DefaultConfig() Config {
	return Config{
		SegmentBytes:         1 << 30,
		SegmentMs:            7 * 24 * 3600 * 1000,
		SegmentIndexBytes:    10 << 20,
		IndexIntervalBytes:   4096,
		RetentionBytes:       -1,
		RetentionMs:          7 * 24 * 3600 * 1000,
		DeleteOldSegments:    true,
		DeleteRetentionMs:    24 * 3600 * 1000,
		MaxCompactionLagMs:   math.MaxInt64,
		MinCleanableRatio:    0.5,
		ProducerExpirationMs: 24 * 3600 * 1000,
	}
}

func (c *Config) validate() error {
	switch {
	case c.SegmentBytes <= 0 || c.SegmentBytes > math.MaxInt32:
		return fmt.Errorf("segment bytes %d: not within [1, %d]", c.SegmentBytes, math.MaxInt32)
	case c.SegmentMs <= 0:
		return fmt.Errorf("segment ms %d: not positive", c.SegmentMs)
	case c.SegmentJitterMs < 0:
		return fmt.Errorf("segment jitter ms %d: negative", c.SegmentJitterMs)
	case c.SegmentIndexBytes < 2*timeEntrySize:
		return fmt.Errorf("segment index bytes %d: below %d", c.SegmentIndexBytes, 2*timeEntrySize)
	case c.IndexIntervalBytes < 0:
		return fmt.Errorf("index interval bytes %d: negative", c.IndexIntervalBytes)
	case c.DeleteRetentionMs < 0 || c.MinCompactionLagMs < 0 || c.MaxCompactionLagMs < 1:
		return fmt.Errorf("delete retention ms %d, compaction lag ms %d to %d: negative, or no longest lag",
			c.DeleteRetentionMs, c.MinCompactionLagMs, c.MaxCompactionLagMs)
	case c.ProducerExpirationMs <= 0:
		return fmt.Errorf("producer expiration ms %d: not positive", c.ProducerExpirationMs)
	}
	return nil
}

// Options say which log to open and how.
type Options struct {
	FS      disk.FS
	Dir     string       // made if it does not exist; nobody else may have it open
	TopicID [16]byte     // written to partition.metadata and compared with it; zero: neither
	Config  Config       //
	Logger  *slog.Logger // nil: nothing is logged
	NowMs   int64        // the time of opening: producers found in the log count as active now

	// DirectRefused is called when batches are buffered in spite of Config.Direct, because the file system has no direct
	// writes: once for a log, by the goroutine that appends. nil: Logger is told.
	DirectRefused func(err error)

	// VerifySealed makes Open check the CRC of every batch of the log and not only those of the last segment and of
	// the newest sealedScanMax bytes before it. A log that was closed in order is never scanned.
	VerifySealed bool
}

// rollMs is the age at which a segment is rolled: only sealed ones are compacted.
func (c *Config) rollMs() int64 {
	if c.Compacted {
		return min(c.SegmentMs, c.MaxCompactionLagMs)
	}
	return c.SegmentMs
}

func (o *Options) validate() error {
	if o.FS == nil || o.Dir == "" {
		return errors.New("no file system or no directory given")
	}
	return o.Config.validate()
}

// AppendOptions go with one batch.
type AppendOptions struct {
	NowMs       int64 // the time of appending
	LeaderEpoch int32 // written into the batch; the first batch of a higher epoch begins it
	Internal    bool  // the batch comes from the broker itself: its sequence is taken as it is

	// NewEpochOnly refuses a marker that would end an open transaction without a newer epoch than that of the producer:
	// every transaction of version 2 has its own (KIP-890, KIP-1228).
	NewEpochOnly bool
}

// Appended is the outcome of an Append.
type Appended struct {
	BaseOffset      int64 // of the first record
	LastOffset      int64 // of the last record
	LogAppendTimeMs int64 // of all records, -1 unless the log stamps them
	LogStartOffset  int64 // of the log
	Duplicate       bool  // nothing was appended: the offsets are those of the first time (KIP-98)
}

// Recovery tells what Open found and did.
type Recovery struct {
	Clean          bool   // the log had been closed in order: nothing was scanned
	ScannedBytes   int64  // checked batch by batch
	TornBytes      int64  // cut off the end: written but never made durable
	ZeroBytes      int64  // cut off the end: zeros, which a file is made longer with ahead of its batches
	TornPosition   int64  // where in the last segment they began
	TornFile       string // what was cut off is set aside here, up to tornFileMax; "" if nothing was cut or there was no room
	IndexesRebuilt int    // index files that were missing or wrong
	FilesRemoved   int    // leftovers of deletions, rolls and rewrites that a crash had interrupted
}
