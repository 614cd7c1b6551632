package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// undo has everything done again that is not committed: it interrupts the workers, aborts the transaction, and begins anew at
// the offsets that the broker has. An error ends Run.
func (g *Group) undo(ctx context.Context, cause error) error {
	var after *afterCommitError
	if errors.Is(cause, ErrFenced) || errors.As(cause, &after) {
		return cause
	}
	if g.aborts++; g.aborts > abortsMax {
		return fmt.Errorf("%d times in a row nothing could be committed: %w", g.aborts, cause)
	}
	g.logger.Warn("undoing what is not committed", "times", g.aborts, "error", cause)
	g.outlet.spoil(cause)
	for _, w := range g.workers {
		w.halt()
		defer w.release()
	}
	for _, p := range g.partitions { // all of a lane before Revoked: its worker may be in the Assigned of another one
		p.worker.take(p)
	}
	for _, p := range g.partitions {
		if err := g.dismiss(p, Rewound); err != nil {
			return err
		}
	}
	wait(ctx, min(retryPauseMin<<g.aborts, retryPauseMax))
	if err := repeat(ctx, isTransient, func() error { return g.outlet.Abort(ctx) }); err != nil {
		return err
	}
	return g.rewind(ctx)
}

// rewind begins all partitions anew at what is committed. Workers stand still.
func (g *Group) rewind(ctx context.Context) error {
	if err := g.take(g.poller.stop()); err != nil { // what was polled belongs to the offsets from before
		return err
	}
	var names []TopicPartition
	for name := range g.partitions {
		names = append(names, name)
	}
	committed, err := g.committed(ctx, names)
	if err != nil {
		return err
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for name, p := range g.partitions {
		if p.worker.isStuck() {
			continue // Run is about to end
		}
		if at := p.restart(committed[name]); at >= 0 {
			if offsets[name.Topic] == nil {
				offsets[name.Topic] = map[int32]kgo.EpochOffset{}
			}
			offsets[name.Topic][name.Partition] = kgo.EpochOffset{Epoch: -1, Offset: at}
		}
	}
	g.client.SetOffsets(offsets)
	return nil
}
