package log

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/invariant"
)

// Log is one partition's append-only sequence of record batches.
//
// One goroutine at a time may call Append, and one Sync; the two may run at once, and so may any number of Reads and
// look-ups. Everything else may be called by anyone at any time. Log starts no goroutine.
type Log struct {
	fsys   disk.FS
	dir    string
	logger *slog.Logger
	marks  syncMarks

	jitterSeed uint64

	tellDirectRefused func(err error)

	segments atomic.Pointer[segmentList]
	epochs   atomic.Pointer[epochs]
	config   atomic.Pointer[Config]
	cleaner  atomic.Pointer[cleanerState] // changed with upkeep held
	unstable atomic.Pointer[unstable]     // of the producers

	transacted atomic.Bool // a segment may have aborted transactions

	logStart atomic.Int64
	durable  atomic.Int64
	logEnd   atomic.Int64

	failure       atomic.Pointer[error] // sticky, see ErrFailed
	closing       atomic.Bool           // ends a compaction
	closed        atomic.Bool
	cuts          atomic.Int64 // how often Truncate has cut something off
	directRefused atomic.Bool  // the file system has no direct writes
	producerCount atomic.Int64 // as ProducerCount last saw it

	// compacting is held by a compaction throughout. upkeep is held by what removes or replaces segments: Retain, DeleteBefore,
	// Truncate, Close, and a compaction for a moment at a time. syncing is held by Sync throughout, and by whoever must not
	// meet one under way. The order is compacting, upkeep, syncing, mu.
	compacting sync.Mutex
	upkeep     sync.Mutex
	syncing    sync.Mutex
	mu         struct {
		sync.Mutex
		active         activeState
		producers      *producers
		snapshots      []int64 // offsets of the .producers files, ascending
		kafkaSnapshots []int64 // offsets of .snapshot files in a directory that came from Kafka
		clean          bool    // the checkpoint says that the log was closed in order, and it still holds
		unsavedEpochs  bool
		recovery       place      // of the last checkpoint
		pinned         []*segment // out of the directory and still read
	}
}

// activeState is what the writer knows of the segment that it appends to.
type activeState struct {
	segment          *segment
	durability       durability // nil: not opened for writing yet
	bytesSinceIndex  int64
	firstTimestampMs int64 // of the first batch, -1: none
	createdMs        int64
	savedOffsets     int // index entries that are in the file
	savedTimes       int
	savedAborted     int
	offsetsFile      disk.File
	timesFile        disk.File
	abortedFile      disk.File
}

// LogStartOffset is the offset of the first record that may be read.
func (l *Log) LogStartOffset() int64 { return l.logStart.Load() }

// DurableOffset is the end of what is known to survive a power failure.
func (l *Log) DurableOffset() int64 { return l.durable.Load() }

// LogEndOffset is the offset that the next record will get.
func (l *Log) LogEndOffset() int64 { return l.logEnd.Load() }

// Size is the size in bytes of all segments, without their indexes.
func (l *Log) Size() int64 { return l.segments.Load().bytes() }

// Segments is the number of segments, at least 1.
func (l *Log) Segments() int { return len(*l.segments.Load()) }

// Dir is the directory of the log.
func (l *Log) Dir() string { return l.dir }

// Err returns the reason if the log takes no more batches: ErrFailed or ErrClosed, else nil.
func (l *Log) Err() error {
	if failure := l.failure.Load(); failure != nil {
		return *failure
	}
	if l.closed.Load() {
		return ErrClosed
	}
	return nil
}

// fail makes every later Append and Sync return ErrFailed: what the file holds is no longer known.
func (l *Log) fail(operation string, err error) error {
	failure := fmt.Errorf("%w: %s: %w", ErrFailed, operation, err)
	if l.failure.CompareAndSwap(nil, &failure) {
		l.logger.Error("log failed", "dir", l.dir, "operation", operation, "error", err)
		if err := l.marks.noteFailure(); err != nil {
			l.logger.Warn("failure not noted in the sync mark", "dir", l.dir, "error", err)
		}
	}
	return *l.failure.Load()
}

// Configure replaces the configuration; the next Append and Retain go by it. An invalid one changes nothing.
// A change of Direct makes everything durable that was appended; if that fails, the log has (ErrFailed).
func (l *Log) Configure(config Config) error {
	if err := config.validate(); err != nil {
		return err
	}
	if l.config.Swap(&config).Direct == config.Direct {
		return nil
	}
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Err() != nil || l.mu.active.durability == nil {
		return nil
	}
	if err := l.syncAndSealLocked(); err != nil {
		return err
	}
	return l.closeDurabilityLocked() // the next Append opens the other one
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest known epoch that is not above the given one and the
// offset after its last record, or UndefinedEpoch and UndefinedOffset (KIP-101, KIP-320).
func (l *Log) EndOffsetForEpoch(epoch int32) (epochFound int32, endOffset int64) {
	return l.epochs.Load().endOffset(epoch, l.logEnd.Load())
}

// LatestEpoch is the highest leader epoch that has a record, UndefinedEpoch if none has.
func (l *Log) LatestEpoch() int32 { return l.epochs.Load().latest() }

// EpochForOffset is the leader epoch that the record at the offset was written in, UndefinedEpoch if not known.
func (l *Log) EpochForOffset(offset int64) int32 { return l.epochs.Load().at(offset) }

// Producers returns the idempotent producers whose state the log keeps, in no order.
func (l *Log) Producers() []Producer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.producers.all()
}

// ExpireProducers forgets producers that have written nothing for producer.id.expiration.ms and returns how many.
func (l *Log) ExpireProducers(nowMs int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.producers.expire(nowMs, l.config.Load().ProducerExpirationMs)
}

// Close makes everything durable, saves indexes and producers, marks the log as closed in order and lets go of its
// files. A compaction under way ends first. Ranges stay readable until released. A log that has failed is closed without the mark, and Close returns
// nil: its failure was told when it happened. A second Close does nothing.
func (l *Log) Close() error { return l.close(true) }

// Abandon is Close for a log that is about to be deleted: it lets go of the files and makes nothing durable. What the
// directory still holds is as after a crash.
func (l *Log) Abandon() error { return l.close(false) }

func (l *Log) close(seal bool) error {
	l.closing.Store(true)
	l.compacting.Lock()
	defer l.compacting.Unlock()
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Swap(true) {
		return nil
	}
	var err error
	if seal && l.failure.Load() == nil && !l.mu.clean {
		err = l.sealLocked()
	}
	return errors.Join(err, l.releaseLocked())
}

// releaseLocked lets go of every file.
func (l *Log) releaseLocked() error {
	errs := []error{l.closeDurabilityLocked(), l.closeIndexFilesLocked(), l.marks.close()}
	for _, s := range *l.segments.Load() {
		errs = append(errs, s.retire())
	}
	for _, s := range l.mu.pinned {
		errs = append(errs, s.release())
	}
	l.mu.pinned = nil
	return errors.Join(errs...)
}

// assertOrder checks the named invariant: log start, durable and log end never cross.
func (l *Log) assertOrder() {
	if invariant.Enabled {
		start, durable, end := l.logStart.Load(), l.durable.Load(), l.logEnd.Load()
		invariant.Assert(start <= end && durable <= end, "durable prefix: log start %d, durable %d, log end %d", start, durable, end)
	}
}
