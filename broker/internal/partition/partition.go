package partition

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/invariant"
	"github.com/millrace/millrace/log"
)

// Options says which partition to open and how.
type Options struct {
	Topic       string
	Index       int32
	Log         log.Options // its Config is overwritten by Config.Log
	Config      Config
	LeaderEpoch int32 // written into every batch that is appended
	Syncs       *Syncs
	Logger      *slog.Logger
	// Appended is called after each append with its size and how long it took, by the goroutine that appended.
	// Nil is allowed.
	Appended func(bytes, records int, took time.Duration)
}

// Partition is one partition of a topic. Its methods are safe for concurrent use.
type Partition struct {
	options   Options
	log       *log.Log // nil: offline
	offline   error    // why
	config    atomic.Pointer[Config]
	recovery  log.Recovery
	syncCount atomic.Int64
	damaged   atomic.Pointer[[]log.OffsetRange] // what Scrub has found, ascending; nil: nothing. Replaced under mu

	committer sync.WaitGroup

	append struct {
		sync.Mutex                            // one append at a time; held across the write, and never together with mu
		verifications map[int64]*Verification // by producer id
	}

	mu struct {
		sync.Mutex
		logStart      int64
		lastStable    int64
		highWatermark int64
		durable       int64
		logEnd        int64
		relaxed       int64 // highest high watermark that was given out without a sync (interval, os)
		lastSyncMs    int64 // when Maintain last had the log synced
		committing    bool  // the committer runs
		failed        error // the sync error; final
		closed        bool
		endCompaction func() // nil: there was none

		waiters     []*commitWaiter
		idle        []*commitWaiter
		subscribers map[*Waiter]Isolation
	}
}

// Offsets are the numbers of a partition at one moment; see the package comment.
type Offsets struct {
	LogStart      int64
	LastStable    int64
	HighWatermark int64
	Durable       int64
	LogEnd        int64
	LeaderEpoch   int32
}

// Open opens the partition's log and recovers it. Everything that was found is committed.
// It never fails: a partition whose log is damaged or cannot be opened is offline, and Err says why.
func Open(options Options) *Partition {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Partition{options: options}
	p.config.Store(&options.Config)
	options.Log.Config = options.Config.Log
	if options.Log.Logger == nil {
		options.Log.Logger = options.Logger
	}
	plog, recovery, err := log.Open(options.Log)
	if err == nil && plog.DurableOffset() < plog.LogEndOffset() {
		if _, err = plog.Sync(); err != nil {
			err = errors.Join(err, plog.Close())
		}
	}
	p.recovery = recovery
	if err != nil {
		p.offline = err
		options.Logger.Error("partition is offline", "topic", options.Topic, "partition", options.Index,
			"dir", options.Log.Dir, "err", err)
		return p
	}
	p.log = plog
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.logStart = plog.LogStartOffset()
	p.mu.logEnd = plog.LogEndOffset()
	p.mu.durable = plog.DurableOffset()
	p.mu.highWatermark = p.mu.durable
	p.stabilizeLocked()
	p.mu.lastSyncMs = options.Log.NowMs
	p.assertLocked()
	p.warnAboutFlush(options.Config.Flush)
	return p
}

// warnAboutFlush says once that an acknowledgement of this partition is weaker than the default.
func (p *Partition) warnAboutFlush(flush Flush) {
	if flush != FlushCommit && p.log != nil {
		p.options.Logger.Warn("acknowledged records may be lost in a power cut", "topic", p.options.Topic,
			"partition", p.options.Index, "flush", flush.String())
	}
}

// Topic is the topic's name.
func (p *Partition) Topic() string { return p.options.Topic }

// Index is the partition's number within its topic.
func (p *Partition) Index() int32 { return p.options.Index }

// Dir is the directory of the partition's log.
func (p *Partition) Dir() string { return p.options.Log.Dir }

// Recovery says what opening the log found.
func (p *Partition) Recovery() log.Recovery { return p.recovery }

// LeaderEpoch is the epoch that appended batches carry.
func (p *Partition) LeaderEpoch() int32 { return p.options.LeaderEpoch }

// Config is what the partition works by now. The caller must not change it.
func (p *Partition) Config() *Config { return p.config.Load() }

// Err is nil while the partition takes appends; otherwise it wraps ErrOffline, ErrFailed or ErrClosed.
func (p *Partition) Err() error {
	if p.log == nil {
		return p.errorf("use", fmt.Errorf("%w: %w", ErrOffline, p.offline))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mu.closed:
		return p.errorf("use", ErrClosed)
	case p.mu.failed != nil:
		return p.failureLocked()
	}
	return nil
}

func (p *Partition) failureLocked() error {
	return p.errorf("commit", fmt.Errorf("%w: %w", ErrFailed, p.mu.failed))
}

func (p *Partition) errorf(operation string, err error) error {
	return fmt.Errorf("%s %s-%d: %w", operation, p.options.Topic, p.options.Index, err)
}

// Offsets returns the partition's numbers. Those of an offline partition are zero.
func (p *Partition) Offsets() Offsets {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offsetsLocked()
}

func (p *Partition) offsetsLocked() Offsets {
	return Offsets{
		LogStart:      p.mu.logStart,
		LastStable:    p.mu.lastStable,
		HighWatermark: p.mu.highWatermark,
		Durable:       p.mu.durable,
		LogEnd:        p.mu.logEnd,
		LeaderEpoch:   p.options.LeaderEpoch,
	}
}

// Stats are figures for metrics and DescribeLogDirs.
type Stats struct {
	Offsets
	SizeBytes int64
	Segments  int
	Syncs     int64 // since the partition was opened
	Flush     Flush
	Offline   bool
	Failed    bool
}

// Stats returns the partition's figures.
func (p *Partition) Stats() Stats {
	s := Stats{Flush: p.config.Load().Flush, Offline: p.log == nil, Syncs: p.syncCount.Load()}
	if p.log != nil {
		s.SizeBytes, s.Segments = p.log.Size(), p.log.Segments()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Offsets, s.Failed = p.offsetsLocked(), p.mu.failed != nil
	return s
}

// advanceLocked moves the high watermark as far as the flush setting allows and wakes those who wait for it.
func (p *Partition) advanceLocked() {
	committed := p.mu.durable
	if p.config.Load().Flush != FlushCommit {
		committed = p.mu.logEnd
		p.mu.relaxed = committed
	}
	if p.mu.failed != nil || committed <= p.mu.highWatermark {
		p.assertLocked()
		return
	}
	p.mu.highWatermark = committed
	stableMoved := p.stabilizeLocked()
	p.assertLocked()
	p.wakeCommittedLocked()
	p.pokeLocked(ReadUncommitted)
	if stableMoved {
		p.pokeLocked(ReadCommitted)
	}
}

// stabilizeLocked moves the last stable offset to where the first transaction begins that is open, or whose marker is not
// committed, but not beyond the high watermark; it says whether it moved. A transaction that opens from here on begins at
// the log end or later, so it never goes back. Where records of an open transaction were deleted, the log start counts.
func (p *Partition) stabilizeLocked() bool {
	m := &p.mu
	before := m.lastStable
	m.lastStable = max(m.logStart, min(m.highWatermark, p.log.FirstUnstable(m.highWatermark)))
	if invariant.Enabled {
		invariant.Assert(m.lastStable >= before, "%s-%d: last stable offset goes back from %d to %d",
			p.options.Topic, p.options.Index, before, m.lastStable)
	}
	return m.lastStable != before
}

// assertLocked checks the ordered numbers.
func (p *Partition) assertLocked() {
	if !invariant.Enabled {
		return // the arguments alone would cost allocations
	}
	m := &p.mu
	invariant.Assert(m.logStart <= m.lastStable && m.lastStable <= m.highWatermark,
		"%s-%d: log start %d, last stable offset %d, high watermark %d are not in order",
		p.options.Topic, p.options.Index, m.logStart, m.lastStable, m.highWatermark)
	invariant.Assert(m.highWatermark <= max(m.durable, m.relaxed), "%s-%d: high watermark %d is above durable %d (relaxed %d)",
		p.options.Topic, p.options.Index, m.highWatermark, m.durable, m.relaxed)
	invariant.Assert(m.highWatermark <= m.logEnd && m.durable <= m.logEnd, "%s-%d: high watermark %d or durable %d is above the log end %d",
		p.options.Topic, p.options.Index, m.highWatermark, m.durable, m.logEnd)
}

// Close stops the partition: it wakes all who wait, waits for the committer, and closes the log, which syncs it and
// marks it as cleanly closed. It may be called again and then does nothing.
func (p *Partition) Close() error { return p.close((*log.Log).Close) }

// Abandon is Close for a partition whose files are about to be deleted: nothing is synced first.
func (p *Partition) Abandon() error { return p.close((*log.Log).Abandon) }

func (p *Partition) close(closeLog func(*log.Log) error) error {
	if p.log == nil {
		return nil
	}
	p.mu.Lock()
	if p.mu.closed {
		p.mu.Unlock()
		return nil
	}
	p.mu.closed = true
	if p.mu.endCompaction != nil {
		p.mu.endCompaction()
	}
	p.releaseLocked()
	p.mu.Unlock()
	p.committer.Wait()

	p.append.Lock()
	defer p.append.Unlock()
	if err := closeLog(p.log); err != nil {
		return p.errorf("close", err)
	}
	return nil
}
