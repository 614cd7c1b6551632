package consumer

import (
	"context"
	"time"
)

// Ticker is a Processor that has work without records too, as timers.
type Ticker interface {
	// Tick is called by the partition's worker between batches: every Options.TickInterval, after each commit, and when the
	// position has moved by something that nobody sees, as the marker of a transaction. What it produces belongs to the next
	// commit, also if no offset has moved: with transactions the Processor is a [Committer] then, whose metadata is new each
	// time. An error is one of Process.
	Tick(ctx context.Context, p *Partition, now time.Time) error
}

// tick calls the ticker of a partition.
func (w *worker) tick(p *Partition, ticker Ticker, now time.Time) {
	if err := guard(func() error { return ticker.Tick(p.ctx, p, now) }); err != nil {
		w.failed(p, &Batch{Partition: p, Next: p.Position(), covered: p.produced.Load()}, err)
		return
	}
	w.settle(p, func() {})
}
