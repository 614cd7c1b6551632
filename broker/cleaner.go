package broker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log"
)

// cleaner compacts the logs of topics whose cleanup.policy has compact, one at a time: first the one that has waited longest
// beyond max.compaction.lag.ms, then the dirtiest. One goroutine; stop waits for it.
type cleaner struct {
	worker

	partitions *registry
	settings   func() *config.Broker // at this moment
	room       func(bytes int) error // says why so many bytes must not be written
	logger     *slog.Logger

	durations *histogram // of compactions, in nanoseconds
	failures  atomic.Uint64

	mu struct {
		sync.Mutex
		backlog map[string]int64   // dirty bytes by topic, as of the last look
		ratios  map[string]float64 // bytes out of bytes in of a topic's last compaction
	}

	// owned by the goroutine
	throttle throttle
	damaged  map[*partition.Partition]bool // not compacted any more
	failing  map[*partition.Partition]bool // the last attempt failed, and that was told
}

// compactionBounds are the upper bounds of the buckets of how long compactions take, in nanoseconds.
var compactionBounds = []int64{
	10_000_000, 50_000_000, 100_000_000, 500_000_000, 1_000_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000,
	60_000_000_000, 300_000_000_000, 1800_000_000_000,
}

func newCleaner(b *Broker) *cleaner {
	return &cleaner{
		partitions: b.partitions,
		settings:   b.controller.settings,
		room:       b.disk.spare,
		logger:     b.logger,
		durations:  newHistogram(compactionBounds),
		damaged:    map[*partition.Partition]bool{},
		failing:    map[*partition.Partition]bool{},
	}
}

func (c *cleaner) start() {
	c.worker.start(c.run)
}

func (c *cleaner) run(ctx context.Context) {
	timer := time.NewTimer(c.backoff())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		tried := map[*partition.Partition]bool{}
		for c.cleanOne(ctx, tried) {
		}
		timer.Reset(c.backoff())
	}
}

// backoff is the time between two looks when there was nothing to do (log.cleaner.backoff.ms).
func (c *cleaner) backoff() time.Duration {
	return max(time.Duration(c.settings().LogCleanerBackoffMs)*time.Millisecond, cleanerBackoffMin)
}

// cleanerBackoffMin keeps the cleaner from looking all the time, whatever log.cleaner.backoff.ms says.
const cleanerBackoffMin = 10 * time.Millisecond

// candidate is a partition that is worth a compaction.
type candidate struct {
	partition *partition.Partition
	found     log.Cleanable
}

// cleanOne compacts the partition that needs it most, but for those that were tried in vain in this round. It returns false if
// there is none.
func (c *cleaner) cleanOne(ctx context.Context, tried map[*partition.Partition]bool) bool {
	chosen, ok := c.choose(ctx, time.Now().UnixMilli(), tried)
	if !ok || ctx.Err() != nil {
		return false
	}
	p := chosen.partition
	begin := time.Now()
	settings := c.settings()
	c.throttle.perSecond = settings.LogCleanerIoMaxBytesPerSecond
	done, err := p.Compact(ctx, begin.UnixMilli(), settings.LogCleanerDedupeBufferSize, c.throttle.wait, c.room)
	if err != nil {
		tried[p] = true
		c.failed(ctx, p, err)
		return ctx.Err() == nil
	}
	tried[p] = done.To == done.From // an open transaction is in the way, or only tombstones were due
	took := time.Since(begin)
	c.durations.observe(int64(took))
	delete(c.failing, p)
	if done.BytesIn > 0 {
		c.mu.Lock()
		c.mu.ratios[p.Topic()] = float64(done.BytesOut) / float64(done.BytesIn)
		c.mu.Unlock()
	}
	c.logger.Info("log compacted", "topic", p.Topic(), "partition", p.Index(), "from", done.From, "to", done.To, "keys", done.Keys,
		"bytes_before", done.BytesIn, "bytes_after", done.BytesOut, "took", took)
	return true
}

// choose looks at all partitions and returns the one that needs a compaction most.
func (c *cleaner) choose(ctx context.Context, nowMs int64, tried map[*partition.Partition]bool) (chosen candidate, ok bool) {
	var worth []candidate
	backlog := map[string]int64{}
	damaged := map[*partition.Partition]bool{}
	for _, p := range c.partitions.all() {
		if ctx.Err() != nil {
			return candidate{}, false
		}
		config := p.Config()
		if c.damaged[p] {
			damaged[p] = true
			continue
		}
		if !config.Log.Compacted {
			continue
		}
		found, err := p.Cleanable(nowMs)
		if err != nil {
			c.failed(ctx, p, err)
			damaged[p] = c.damaged[p]
			continue
		}
		backlog[p.Topic()] += found.DirtyBytes
		if !tried[p] && (found.OverdueMs > 0 || found.Ratio() > config.Log.MinCleanableRatio) {
			worth = append(worth, candidate{p, found})
		}
	}
	c.damaged = damaged
	c.mu.Lock()
	c.mu.backlog = backlog
	ratios := map[string]float64{}
	for topic := range backlog {
		if ratio, known := c.mu.ratios[topic]; known {
			ratios[topic] = ratio
		}
	}
	c.mu.ratios = ratios
	c.mu.Unlock()
	if len(worth) == 0 {
		return candidate{}, false
	}
	return slices.MaxFunc(worth, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(max(a.found.OverdueMs, 0), max(b.found.OverdueMs, 0)), cmp.Compare(a.found.Ratio(), b.found.Ratio()))
	}), true
}

// failed takes note of a compaction that did not come to its end. A log that is damaged is left alone from here on; anything
// else is tried again later. Either is told once.
func (c *cleaner) failed(ctx context.Context, p *partition.Partition, err error) {
	switch {
	case ctx.Err() != nil, errors.Is(err, context.Canceled), errors.Is(err, partition.ErrClosed), errors.Is(err, log.ErrClosed):
		return // the broker stops, or the topic was deleted
	case errors.Is(err, log.ErrSuperseded):
		return // by retention
	}
	c.failures.Add(1)
	if _, damaged := errors.AsType[*log.CorruptError](err); damaged {
		c.damaged[p] = true
		c.logger.Error("a damaged log is not compacted any more, and goes on serving what is whole", "topic", p.Topic(),
			"partition", p.Index(), "err", err)
		return
	}
	if !c.failing[p] {
		c.failing[p] = true
		c.logger.Error("log could not be compacted, which is tried again", "topic", p.Topic(), "partition", p.Index(), "err", err)
	}
}

// figures returns dirty bytes and the ratio of the last compaction by topic. The maps are the caller's to read.
func (c *cleaner) figures() (backlog map[string]int64, ratios map[string]float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ratios = make(map[string]float64, len(c.mu.ratios))
	for topic, ratio := range c.mu.ratios {
		ratios[topic] = ratio
	}
	return c.mu.backlog, ratios
}

// throttle spreads bytes over time (log.cleaner.io.max.bytes.per.second).
type throttle struct {
	perSecond float64
	free      time.Time // when all bytes so far are paid for
}

// throttleLeast is the shortest time that is worth a wait.
const throttleLeast = time.Millisecond

// wait returns when so many bytes may be read or written, or ctx has ended.
func (t *throttle) wait(ctx context.Context, bytes int) error {
	now := time.Now()
	if t.free.Before(now) {
		t.free = now
	}
	t.free = t.free.Add(time.Duration(min(float64(bytes)/t.perSecond*float64(time.Second), float64(time.Hour))))
	ahead := t.free.Sub(now)
	if ahead < throttleLeast {
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
