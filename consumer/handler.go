package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Handler makes the processors of a group's partitions.
type Handler interface {
	// Assigned is called by the partition's worker before its first record, and may take as long as it needs, as to restore
	// state. p.Committed says where processing goes on. ctx ends when the partition is taken away meanwhile. An error ends Run.
	Assigned(ctx context.Context, p *Partition) (Processor, error)
}

// Processor does the work of one partition, or of several that Options.Lane puts together. Its methods are never called at the
// same time. A Processor that is a [Committer] too takes part in commits, and one that is a [Ticker] is called between batches.
type Processor interface {
	// Process is given the next records. When it returns nil, all of them are processed and may be committed. ctx ends when
	// the group can wait no longer (Options.StopTimeout): what the call has not done by then is done again, here or elsewhere.
	// An error is for Options.Retry to decide about; [ErrStop] ends the group.
	Process(ctx context.Context, batch *Batch) error
	// Revoked is the last call about a partition of this assignment.
	Revoked(ctx context.Context, p *Partition, reason Reason) error
}

// Reason says why a partition was taken away from its processor.
type Reason int

const (
	// Drained means that everything processed is committed; the partition goes elsewhere or the group ends.
	Drained Reason = iota
	// Lost means that what was processed since the last commit will be processed again by somebody else.
	Lost
	// Rewound means that it will be processed again here: Assigned is called next.
	Rewound
)

// String returns the reason as one word.
func (r Reason) String() string {
	switch r {
	case Drained:
		return "drained"
	case Lost:
		return "lost"
	case Rewound:
		return "rewound"
	}
	return fmt.Sprintf("reason %d", int(r))
}

// Committer is a Processor that takes part in commits. While its methods are called no Process of the group runs.
type Committer interface {
	// Prepare is called before each commit, for each partition that is committed. It may produce, lower commit.Offset.At to
	// where the partition would have to be read again, or set it where nothing is known (-1), and set the metadata. Where nothing
	// was processed since the assignment, commit.Offset is what is committed already. A transaction whose processors produce without
	// moving an offset needs metadata that is new each time: it is how an unknown outcome is recognized.
	Prepare(ctx context.Context, commit *Commit) error
	// Committed is called when the commit is known to stand. After one that does not, Revoked is called with Rewound or Lost.
	Committed(ctx context.Context, commit *Commit) error
}

// Commit is one partition's part of a commit.
type Commit struct {
	Partition *Partition
	Offset    Offset
}

// ProcessFunc is a Processor without state, and the Handler that returns it for every partition. It is called for several
// partitions at the same time.
type ProcessFunc func(ctx context.Context, batch *Batch) error

// Assigned returns f.
func (f ProcessFunc) Assigned(context.Context, *Partition) (Processor, error) { return f, nil }

// Process calls f.
func (f ProcessFunc) Process(ctx context.Context, batch *Batch) error { return f(ctx, batch) }

// Revoked does nothing.
func (f ProcessFunc) Revoked(context.Context, *Partition, Reason) error { return nil }

// Batch is some of one partition's records, in order. It is valid until Process returns; its records stay valid.
type Batch struct {
	Partition *Partition
	Records   []*kgo.Record // at least one

	HighWatermark int64 // the partition's end as the fetch of these records saw it
	StableEnd     int64 // likewise, as a reader of committed records sees it: what lies below is there to be read now
	Next          int64 // the position behind the batch, and behind what nobody sees after it

	leaderEpoch int32
	done        int   // how many of the records are processed, whatever Process returns
	covered     int64 // how much Partition.Produce had been given when the last of them was done
}

// Done says that the first n records are processed, even if Process returns an error: they are committed, and a retry begins
// behind them. With a transaction it counts with [ErrStop] only, because an error undoes the whole batch; what is produced
// between Done and ErrStop belongs to no record that is done, so that the transaction is aborted and Run fails.
func (b *Batch) Done(n int) {
	b.done, b.covered = max(0, min(n, len(b.Records))), b.Partition.produced.Load()
}

// first returns the offset of the first record, or the position if there is none.
func (b *Batch) first() int64 {
	if len(b.Records) == 0 {
		return b.Next
	}
	return b.Records[0].Offset
}

// ErrStop is what Process returns, or wraps, to end the group: what was processed, with [Batch.Done] the part of this batch, is
// committed, and Run returns nil.
var ErrStop = errors.New("the group is to stop")

// Failure is a call of Process that failed.
type Failure struct {
	Partition TopicPartition
	Offset    int64 // of the first record that is not done
	Attempt   int   // 1 for the first failure; it goes up until what lies behind the failures is processed
	Err       error
}

// PanicError is a panic of a handler, as an error.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value that was panicked with, and where.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// guard calls a handler's function and makes an error of a panic: its partition's work is undone as for any error.
func guard(call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return call()
}

// RetryTimes returns an Options.Retry that tries a batch n times more, with twice the pause each time.
func RetryTimes(n int, pause time.Duration) func(Failure) (time.Duration, bool) {
	return func(f Failure) (time.Duration, bool) {
		return min(pause<<min(f.Attempt-1, 10), retryPauseMax), f.Attempt <= n
	}
}
