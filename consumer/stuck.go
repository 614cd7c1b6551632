package consumer

import (
	"context"
	"errors"
	"fmt"
)

// ErrStuck is that a handler did not return though its context had ended, for longer than Options.AbandonTimeout. Its goroutine
// is left behind; nothing of its work is committed.
var ErrStuck = errors.New("a handler does not return")

// StuckError says which partition a handler is stuck in. It wraps [ErrStuck].
type StuckError struct{ Partition TopicPartition }

func (e *StuckError) Error() string { return fmt.Sprintf("process %v: %v", e.Partition, ErrStuck) }
func (e *StuckError) Unwrap() error { return ErrStuck }

// take ends the work on a partition and waits until nothing of it runs, or it is taken for stuck: then Run ends.
func (w *worker) take(p *Partition) {
	p.cancel()
	for !w.lets(p) {
		if doing := w.group.busy(p.TopicPartition); doing != "" {
			w.group.logger.Warn("waiting for a handler", "partition", p.TopicPartition, "doing", doing, "longer than", w.group.options.AbandonTimeout)
			continue
		}
		w.mu.Lock()
		w.mu.stuck, w.mu.ended = true, true
		w.mu.Unlock()
		w.group.fail(&StuckError{Partition: p.TopicPartition})
		return
	}
}

// lets waits until nothing of a partition's work runs, or for Options.AbandonTimeout; then it returns false.
func (w *worker) lets(p *Partition) bool {
	ctx := context.Background()
	if patience := w.group.options.AbandonTimeout; patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	return w.await(ctx, func() bool { return w.mu.processing != p && w.mu.assigning != p })
}

// busy returns what the handler says that it is doing for a partition.
func (g *Group) busy(p TopicPartition) string {
	if g.options.Busy == nil {
		return ""
	}
	return g.options.Busy(p)
}

// isStuck reports whether the worker's goroutine was left behind: nobody may wait for it, and its processors are its own.
func (w *worker) isStuck() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.stuck
}

// stuck returns why Run ends, if a handler is stuck.
func (g *Group) stuck() error {
	select {
	case err := <-g.failures:
		if errors.Is(err, ErrStuck) {
			return err
		}
	default:
	}
	return nil
}
