package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Group is a member of a consumer group that has its partitions processed. New makes it, Run runs it, Close ends it.
type Group struct {
	options Options
	logger  *slog.Logger

	client *kgo.Client // fetches, and is the member
	outlet *Outlet     // produces and commits

	work   context.Context // ends when nothing may go on, not even a batch that has begun
	cancel context.CancelFunc

	started  atomic.Bool
	finished chan struct{} // closed when Run returns
	closing  chan struct{} // closed by Close
	close    sync.Once
	failures chan error // of capacity 1: why Run is to end
	retries  chan error // of capacity 1: why a transaction is to be undone
	pokes    chan struct{}
	due      chan struct{}
	count    atomic.Int64 // records that were processed since the last commit

	rebalances chan rebalance
	ended      chan struct{} // closed when nobody receives from rebalances any more

	// Owned by the goroutine of Run.
	poller     *poller
	workers    map[string]*worker
	partitions map[TopicPartition]*Partition
	aborts     int // in a row
}

// New checks the options. It does not connect.
func New(options Options) (*Group, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Group{
		options: options, logger: options.Logger.With("group", options.Group),
		finished: make(chan struct{}), closing: make(chan struct{}), ended: make(chan struct{}),
		failures: make(chan error, 1), retries: make(chan error, 1), pokes: make(chan struct{}, 1), due: make(chan struct{}, 1),
		rebalances: make(chan rebalance),
		workers:    map[string]*worker{}, partitions: map[TopicPartition]*Partition{},
	}, nil
}

// Run joins the group and has records processed until ctx ends, Close is called, a handler returns ErrStop, or something fails
// that does not pass by itself. It then lets each worker finish its batch, commits what was processed, and leaves the group. It
// returns nil unless something failed; it can be called once.
func (g *Group) Run(ctx context.Context) error {
	if g.started.Swap(true) {
		return errors.New("consumer: Run was called before")
	}
	defer close(g.finished)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	unhook := g.onClose(stop)
	defer unhook()
	g.work, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer g.cancel()
	outlet, err := OpenOutlet(ctx, OutletOptions{
		Client: slices.Concat(g.options.Client, g.options.Producer), Group: g.options.Group,
		TransactionalID: g.options.TransactionalID, TransactionTimeout: g.options.TransactionTimeout, Logger: g.logger,
	})
	if err != nil {
		return unlessOver(ctx, err)
	}
	g.outlet = outlet
	defer outlet.Close()
	if g.client, err = kgo.NewClient(g.clientOptions()...); err != nil {
		return err
	}
	defer g.client.CloseAllowingRebalance()
	g.poller = newPoller(g.client)
	return g.finish(g.loop(ctx))
}

// onClose calls stop once Close was called. The function that it returns ends the watch.
func (g *Group) onClose(stop func()) (unhook func()) {
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-g.closing:
			stop()
		case <-over:
		}
	}()
	return func() { close(over); <-watched }
}

// tellsEnd reports whether err only tells that ctx ended.
func tellsEnd(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}

// unlessOver returns err, or nil if it only tells that ctx ended.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Close ends Run as the end of its context does, and waits for it. It may be called at any time, and again, but not by a handler,
// which returns ErrStop.
func (g *Group) Close() {
	g.close.Do(func() { close(g.closing) })
	if g.started.Load() {
		<-g.finished
	}
}

// clientOptions are those of the client that fetches. The caller's come last but for what correctness depends on.
func (g *Group) clientOptions() []kgo.Opt {
	start := kgo.NewOffset().AtStart()
	if g.options.FromEnd {
		start = kgo.NewOffset().AtEnd()
	}
	reset := kgo.NoResetOffset()
	if g.options.ResetLostOffsets {
		reset = start
	}
	return slices.Concat(g.options.Client, []kgo.Opt{
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(reset),
		kgo.FetchMaxWait(fetchWaitMax),
	}, g.options.Consumer, []kgo.Opt{
		kgo.ConsumerGroup(g.options.Group), kgo.ConsumeTopics(g.options.Topics...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they move a position to its end, and are never processed
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(g.tell(assigned)), kgo.OnPartitionsRevoked(g.tell(revoked)), kgo.OnPartitionsLost(g.tell(lost)),
	})
}

// loop is the goroutine of Run: it owns the partitions, and does one thing at a time. It returns why it ends, nil for an end
// that was asked for.
func (g *Group) loop(ctx context.Context) error {
	tick := time.NewTicker(g.options.CommitInterval)
	defer tick.Stop()
	full := time.NewTimer(pauseAfter)
	defer full.Stop()
	for {
		if g.regulate(time.Now()) {
			g.poller.begin()
		} else {
			full.Reset(pauseAfter)
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err = <-g.failures:
			return err
		case fetches := <-g.poller.answers:
			g.poller.arrived()
			err = g.take(fetches)
		case change := <-g.rebalances:
			err = g.rebalance(ctx, change)
		case err = <-g.retries:
			err = g.undo(ctx, err)
		case <-g.pokes:
		case <-full.C:
		case <-g.due:
			err = g.commit(ctx)
		case <-tick.C:
			err = g.commit(ctx)
		}
		if tellsEnd(ctx, err) {
			return errHalfway
		}
		if err != nil {
			return err
		}
	}
}

// take gives records to the workers.
func (g *Group) take(fetches kgo.Fetches) error {
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		if fatal := g.fetchError(TopicPartition{topic, partition}, err); fatal != nil && failed == nil {
			failed = fatal
		}
	})
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if p := g.partitions[TopicPartition{f.Topic, f.Partition}]; p != nil && len(f.Records) > 0 {
			p.push(f.Records, f.HighWatermark, f.LastStableOffset)
		}
	})
	return failed
}

// fetchError decides about an error of the client: what it mends by itself is none.
func (g *Group) fetchError(partition TopicPartition, err error) error {
	var session *kgo.ErrGroupSession
	var dataLoss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
		return nil
	case errors.As(err, &session):
		if isHopeless(err) {
			return fmt.Errorf("be a member of group %q: %w", g.options.Group, err)
		}
		g.logger.Warn("dropped out of the group, joining again", "error", err)
		return nil
	case errors.As(err, &dataLoss), errors.Is(err, kerr.OffsetOutOfRange):
		if g.options.ResetLostOffsets {
			g.logger.Warn("records were deleted before they were processed", "partition", partition, "error", err)
			return nil
		}
	case isTransient(err):
		g.logger.Warn("cannot fetch, trying again", "partition", partition, "error", err)
		return nil
	}
	if partition.Topic == "" {
		return err
	}
	return fmt.Errorf("fetch %v: %w", partition, err)
}

// isHopeless reports whether err is an answer of a group's coordinator that joining again does not change.
func isHopeless(err error) bool {
	return isAny(err, kerr.FencedInstanceID, kerr.GroupAuthorizationFailed, kerr.GroupMaxSizeReached, kerr.InconsistentGroupProtocol,
		kerr.InvalidGroupID, kerr.InvalidSessionTimeout, kerr.TopicAuthorizationFailed, kerr.UnsupportedVersion)
}

// processed counts records, and has them committed early if they are many. It also makes Run look at the queues.
func (g *Group) processed(records int) {
	if g.count.Add(int64(records)) >= int64(g.options.CommitRecords) {
		offer(g.due, struct{}{})
	}
	g.poke()
}

// poke makes Run look at the queues.
func (g *Group) poke() { offer(g.pokes, struct{}{}) }

// fail ends Run; the first error counts.
func (g *Group) fail(err error) { offer(g.failures, err) }

// retry has a transaction undone, whose work is done again; without transactions the worker does that alone.
func (g *Group) retry(err error) {
	g.logger.Warn("processing failed, trying again", "error", err)
	if g.outlet.IsTransactional() {
		offer(g.retries, err)
	}
}

// offer sends unless the channel is full: what waits there already says as much.
func offer[T any](to chan<- T, value T) {
	select {
	case to <- value:
	default:
	}
}
