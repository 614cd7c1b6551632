package broker

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/millrace/millrace/broker/internal/partition"
)

// maintainer does what partitions need from time to time: retention, rolls by age, forgetting idle producers, and the
// background syncs of flush=interval. One goroutine; stop waits for it.
type maintainer struct {
	partitions *registry
	everyMs    int64 // between two rounds (log.retention.check.interval.ms)
	logger     *slog.Logger
	cancel     context.CancelFunc
	done       sync.WaitGroup
}

// firstMaintenanceMs is when the first round begins after the start (Kafka's log.initial.task.delay.ms).
const firstMaintenanceMs = 30_000

func newMaintainer(b *Broker) *maintainer {
	return &maintainer{partitions: b.partitions, everyMs: b.config.LogRetentionCheckIntervalMs, logger: b.logger}
}

func (m *maintainer) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.done.Go(func() { m.run(ctx) })
}

// stop ends the goroutine and waits for it; a round that is under way is finished. Without start it does nothing.
func (m *maintainer) stop() {
	if m.cancel != nil {
		m.cancel()
	}
	m.done.Wait()
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

// maintain does one round. A partition that fails is no reason to leave out the others.
func (m *maintainer) maintain(ctx context.Context, nowMs int64) {
	for _, p := range m.partitions.all() {
		if ctx.Err() != nil {
			return
		}
		deletedBytes, err := p.Maintain(nowMs)
		if err != nil {
			m.logger.Error("partition could not be maintained", "topic", p.Topic(), "partition", p.Index(), "err", err)
		}
		if deletedBytes > 0 {
			m.logger.Info("old segments deleted", "topic", p.Topic(), "partition", p.Index(), "bytes", deletedBytes,
				"log_start", p.Offsets().LogStart)
		}
	}
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
