package broker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log"
)

// scrubber reads all sealed segments again and again, slowly, to find what a disk has forgotten before somebody needs it.
// One goroutine; stop waits for it. Its other methods are safe for concurrent use.
type scrubber struct {
	worker

	fs             disk.FS
	dataDir        string
	partitions     *registry
	logger         *slog.Logger
	bytesPerSecond int64 // 0: there is nothing to do
	intervalMs     int64 // between the beginnings of two passes; 0: there is nothing to do

	completedMs atomic.Int64  // when the last pass ended; 0: never
	bytes       atomic.Uint64 // read
	corrupt     atomic.Uint64 // ranges of records that were found damaged

	// owned by the goroutine
	position scrubPosition
	savedMs  int64
	unsaved  bool // the last save failed
}

const (
	// firstScrub is when the scrub begins after a start, which has enough to read.
	firstScrub = time.Minute
	// scrubSaveEveryMs is how often the position is written down: so much is read twice after a crash.
	scrubSaveEveryMs = 60_000
)

func newScrubber(b *Broker) *scrubber {
	s := &scrubber{
		fs:             b.options.fileSystem,
		dataDir:        b.options.DataDir,
		partitions:     b.partitions,
		logger:         b.logger,
		bytesPerSecond: b.config.MillraceScrubBytesPerSecond,
		intervalMs:     b.config.MillraceScrubIntervalMs,
	}
	var err error
	if s.position, err = readScrubPosition(s.fs, s.dataDir); err != nil {
		s.logger.Warn("scrub begins anew: its position cannot be read", "err", err)
	}
	s.completedMs.Store(s.position.CompletedMs)
	return s
}

func (s *scrubber) start() {
	if s.bytesPerSecond == 0 || s.intervalMs == 0 {
		return
	}
	s.worker.start(s.run)
}

// age is the time since the last pass ended, -1 s if none ever has.
func (s *scrubber) age(now time.Time) time.Duration {
	completedMs := s.completedMs.Load()
	if completedMs == 0 {
		return -time.Second
	}
	return max(0, now.Sub(time.UnixMilli(completedMs)))
}

func (s *scrubber) run(ctx context.Context) {
	if wait(ctx, firstScrub) != nil {
		return
	}
	for {
		dueMs := s.position.dueMs(time.Now().UnixMilli(), s.intervalMs)
		if wait(ctx, time.Until(time.UnixMilli(dueMs))) != nil {
			return
		}
		s.pass(ctx)
		if ctx.Err() != nil {
			return
		}
	}
}

// wait waits, and returns ctx's error if that ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pass reads all sealed segments from the position on.
func (s *scrubber) pass(ctx context.Context) {
	if !s.position.UnderWay {
		s.position = scrubPosition{Version: scrubVersion, CompletedMs: s.position.CompletedMs, BegunMs: time.Now().UnixMilli(), UnderWay: true}
	}
	partitions := s.partitions.all()
	slices.SortFunc(partitions, func(a, b *partition.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic(), b.Topic()), cmp.Compare(a.Index(), b.Index()))
	})
	for _, p := range partitions {
		if s.position.isPast(p.Topic(), p.Index()) {
			continue
		}
		if p.Topic() != s.position.Topic || p.Index() != s.position.Partition {
			s.position.Topic, s.position.Partition, s.position.Offset = p.Topic(), p.Index(), 0
		}
		if s.partition(ctx, p); ctx.Err() != nil {
			s.save(true)
			return
		}
	}
	now := time.Now()
	s.position = scrubPosition{Version: scrubVersion, CompletedMs: now.UnixMilli(), BegunMs: s.position.BegunMs}
	s.completedMs.Store(s.position.CompletedMs)
	s.save(true)
	s.logger.Debug("all sealed segments were read", "took", now.Sub(time.UnixMilli(s.position.BegunMs)))
}

// partition reads the sealed segments of one partition. One that is offline or closed has none to read.
func (s *scrubber) partition(ctx context.Context, p *partition.Partition) {
	for {
		found, fresh, err := p.Scrub(s.position.Offset, func(bytes int) error { return s.pace(ctx, bytes) })
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, partition.ErrClosed) || errors.Is(err, partition.ErrOffline) || errors.Is(err, log.ErrClosed):
			return
		case err != nil:
			s.logger.Error("segment cannot be read: look at the disk, and restore the partition's directory from a copy",
				"topic", p.Topic(), "partition", p.Index(), "offset", s.position.Offset, "err", err)
		default:
			s.report(p, found, fresh)
		}
		if found.Done || found.Next <= s.position.Offset {
			return
		}
		s.position.Offset = found.Next
		s.save(false)
	}
}

// pace waits until so many bytes may be read.
func (s *scrubber) pace(ctx context.Context, bytes int) error {
	s.bytes.Add(uint64(bytes))
	return wait(ctx, time.Duration(float64(bytes)/float64(s.bytesPerSecond)*float64(time.Second)))
}

// report tells what is wrong with a segment: one line for its damage, one for its indexes.
func (s *scrubber) report(p *partition.Partition, found log.Scrubbed, fresh []log.OffsetRange) {
	s.corrupt.Add(uint64(len(fresh)))
	if len(found.Findings) == 0 {
		return
	}
	first := found.Findings[0]
	facts := []any{"topic", p.Topic(), "partition", p.Index(), "path", first.Path, "position", first.Position,
		"problem", first.Problem, "findings", len(found.Findings)}
	switch first.Severity {
	case log.Damage:
		s.logger.Error("segment is damaged: these offsets are refused, all others are served; see millrace log verify, "+
			"restore the partition's directory from a copy, or delete the records up to here",
			append(facts, "offsets", found.Damaged, "dir", p.Dir())...)
	case log.Repairable:
		s.logger.Warn("index of a segment is wrong: it costs reads time, and the remedy is in millrace log verify", facts...)
	}
}

// save writes the position down, if it is time to.
func (s *scrubber) save(now bool) {
	nowMs := time.Now().UnixMilli()
	if passedMs := nowMs - s.savedMs; !now && passedMs >= 0 && passedMs < scrubSaveEveryMs {
		return
	}
	s.savedMs = nowMs
	err := s.position.write(s.fs, s.dataDir)
	if err != nil && !s.unsaved {
		s.logger.Warn("position of the scrub not written down", "err", err)
	}
	s.unsaved = err != nil
}
