package broker

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log"
)

// maintainer does what partitions need from time to time: retention, rolls by age, forgetting idle producers, and the
// background syncs of flush=interval. One goroutine; stop waits for it.
type maintainer struct {
	worker

	partitions *registry
	everyMs    int64 // between two rounds (log.retention.check.interval.ms)
	logger     *slog.Logger
	metrics    *metrics
	soon       chan struct{} // capacity 1: a round is wanted before its time

	// owned by the goroutine
	failing map[*partition.Partition]bool // the last round failed here, and not for want of room
	noRoom  bool                          // the last round lacked room somewhere
}

// firstMaintenanceMs is when the first round begins after the start (Kafka's log.initial.task.delay.ms).
const firstMaintenanceMs = 30_000

func newMaintainer(b *Broker) *maintainer {
	return &maintainer{partitions: b.partitions, everyMs: b.config.LogRetentionCheckIntervalMs, logger: b.logger,
		metrics: b.metrics, soon: make(chan struct{}, 1)}
}

// maintainSoon asks for a round before its time. It does not wait.
func (m *maintainer) maintainSoon() {
	select {
	case m.soon <- struct{}{}:
	default: // one is asked for already
	}
}

func (m *maintainer) start() {
	m.worker.start(m.run)
}

func (m *maintainer) run(ctx context.Context) {
	round := time.NewTimer(time.Duration(min(firstMaintenanceMs, m.everyMs)) * time.Millisecond)
	defer round.Stop()
	flush := time.NewTimer(m.flushEvery())
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-round.C:
			m.maintain(ctx, now.UnixMilli())
			round.Reset(time.Duration(m.everyMs) * time.Millisecond)
		case <-m.soon:
			m.maintain(ctx, time.Now().UnixMilli())
		case now := <-flush.C:
			for _, p := range m.partitions.all() {
				p.FlushDue(now.UnixMilli())
			}
			flush.Reset(m.flushEvery())
		case <-m.partitions.configured:
			flush.Reset(m.flushEvery())
		}
	}
}

// maintain does one round. A partition that fails is no reason to leave out the others, and is told of when it begins to.
func (m *maintainer) maintain(ctx context.Context, nowMs int64) {
	failing, noRoom := map[*partition.Partition]bool{}, 0
	for _, p := range m.partitions.all() {
		if ctx.Err() != nil {
			return
		}
		deletedBytes, err := p.Maintain(nowMs)
		switch {
		case errors.Is(err, log.ErrFull):
			noRoom++
		case err != nil:
			failing[p] = true
			if !m.failing[p] {
				m.logger.Error("partition could not be maintained", "topic", p.Topic(), "partition", p.Index(), "err", err)
			}
		case m.failing[p]:
			m.logger.Info("partition is maintained again", "topic", p.Topic(), "partition", p.Index())
		}
		if deletedBytes > 0 {
			m.metrics.retained(p.Topic(), deletedBytes)
			m.logger.Info("old segments deleted", "topic", p.Topic(), "partition", p.Index(), "bytes", deletedBytes,
				"log_start", p.Offsets().LogStart)
		}
	}
	// A full disk is one thing, however many partitions are on it.
	if noRoom > 0 && !m.noRoom {
		m.logger.Error("disk is full: old segments cannot be deleted in order; make room, or delete topics", "partitions", noRoom)
	}
	m.failing, m.noRoom = failing, noRoom > 0
}

// flushEvery is the shortest time in which a partition wants to be synced, very long if none does.
func (m *maintainer) flushEvery() time.Duration {
	everyMs := int64(math.MaxInt64)
	for _, p := range m.partitions.all() {
		if config := p.Config(); config.Flush == partition.FlushInterval {
			everyMs = min(everyMs, config.FlushEveryMs())
		}
	}
	if everyMs > int64(math.MaxInt64/time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(everyMs) * time.Millisecond
}
