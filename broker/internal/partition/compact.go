package partition

import (
	"context"
	"errors"

	"github.com/millrace/millrace/log"
)

// Cleanable says what a compaction at nowMs would be about; nothing for a partition that is not compacted, or cannot be.
func (p *Partition) Cleanable(nowMs int64) (log.Cleanable, error) {
	if !p.config.Load().Log.Compacted || p.Err() != nil {
		return log.Cleanable{}, nil
	}
	if err := p.log.RollOverdue(nowMs); err != nil {
		return log.Cleanable{}, p.compactionError(err)
	}
	found, err := p.log.Cleanable(nowMs, p.Offsets().LastStable)
	if err != nil {
		return log.Cleanable{}, p.compactionError(err)
	}
	return found, nil
}

// Compact removes what is superseded below the last stable offset, with mapBytes of memory for the keys of one pass. It ends
// early, with the log whole, when ctx ends, the partition is closed, pace errs, which is called for each read and write, or room,
// which is asked before each write. Errors are those of log.Log.Compact. One Compact at a time.
func (p *Partition) Compact(ctx context.Context, nowMs, mapBytes int64, pace func(ctx context.Context, bytes int) error,
	room func(bytes int) error) (log.Compaction, error) {
	if err := p.Err(); err != nil {
		return log.Compaction{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	p.mu.endCompaction = cancel
	closed := p.mu.closed
	p.mu.Unlock()
	if closed {
		return log.Compaction{}, p.errorf("compact", ErrClosed)
	}
	done, err := p.log.Compact(log.CompactOptions{
		NowMs: nowMs, Before: p.Offsets().LastStable, MapBytes: mapBytes,
		Pace: func(bytes int) error { return pace(ctx, bytes) },
		Room: room,
	})
	if err != nil {
		return done, p.compactionError(err)
	}
	return done, nil
}

// compactionError takes note of a log that has failed.
func (p *Partition) compactionError(err error) error {
	if errors.Is(err, log.ErrFailed) {
		p.mu.Lock()
		p.failLocked(err)
		p.mu.Unlock()
	}
	return p.errorf("compact", err)
}
