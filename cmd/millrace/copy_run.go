package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/millrace/millrace/consumer"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of copy.
const (
	// copyCommitEvery is how often copies are committed, and copyCommitRecords after how many records at the latest.
	copyCommitEvery   = 500 * time.Millisecond
	copyCommitRecords = 10_000
	// copyCommitMax bounds one commit, also the last one after Ctrl-C.
	copyCommitMax = 30 * time.Second
	// copyDrainMax is how long after Ctrl-C a destination may take no records before they are given up.
	copyDrainMax = 10 * time.Second
	// copyAbortsMax is how often in a row a transaction may be aborted.
	copyAbortsMax = 5
	// ratePartsPerSecond is into how many parts the records of a second are cut, if --rate limits them.
	ratePartsPerSecond = 10
)

// copying is one run of copy.
type copying struct {
	*copySetting
	outlet   *consumer.Outlet
	delivery context.Context // of what is produced
	progress copyProgress
	counts   copyCounts       // of what is committed
	offsets  consumer.Offsets // of what is committed
	aborts   int              // in a row

	pending        consumer.Offsets // of what was produced since
	pendingCounts  copyCounts
	pendingRecords int
	due            time.Time
	paid           time.Time // until when --rate allows what was copied
}

func (p *copyPlan) copy(ctx context.Context, cmd *cobra.Command, s *copySetting) error {
	if err := s.create(ctx); err != nil {
		return err
	}
	_, options, err := p.to.options()
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	loss := kgo.WithHooks(newLossWatch(cmd.ErrOrStderr(), !p.follow, cancel))
	transactionalID := ""
	if p.exactlyOnce {
		transactionalID = p.group
	}
	outlet, err := consumer.OpenOutlet(inner, consumer.OutletOptions{
		Client: append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()), loss), Group: p.group, TransactionalID: transactionalID,
	})
	if err != nil {
		return p.explain(inner, err)
	}
	defer outlet.Close()
	now := time.Now()
	delivery, giveUp := outlast(inner, copyDrainMax)
	defer giveUp()
	c := &copying{copySetting: s, outlet: outlet, delivery: delivery, counts: copyCounts{}, progress: copyProgress{stderr: notes(cmd), began: now, told: now}, paid: now}
	if c.offsets, err = outlet.Committed(inner, s.names()); err != nil {
		return p.explain(inner, err)
	}
	began := s.remaining(c.offsets)
	err = c.run(inner, loss)
	p.wanted.tell(cmd.ErrOrStderr())
	err = p.explain(inner, err)
	stopped := errors.Is(err, context.Canceled)
	if err != nil && !stopped {
		return err
	}
	if stopped && p.follow { // there is no other end
		err = nil
	}
	return cmp.Or(p.output.Print(cmd.OutOrStdout(), s.final(began, c.offsets, c.counts)), err)
}

// explain says what an error means for a copy.
func (p *copyPlan) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, consumer.ErrFenced):
		return fmt.Errorf("another copy with group %q was started, this one ends", p.group)
	case errors.Is(err, kerr.OffsetOutOfRange):
		return fmt.Errorf("records of topic %q were deleted before they were copied; go on with `millrace group seek %s --topic ...`, or begin anew with another --group: %w",
			p.source, p.group, brokerError(err, ""))
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))):
		return endOf(ctx)
	}
	return err
}

// run copies until the end, beginning anew at what is committed whenever a transaction is aborted.
func (c *copying) run(ctx context.Context, loss kgo.Opt) error {
	for {
		err := c.pass(ctx, loss)
		if !errors.Is(err, consumer.ErrAborted) {
			return err
		}
		if c.aborts++; c.aborts > copyAbortsMax {
			return err
		}
		if err := c.outlet.Abort(ctx); err != nil {
			return err
		}
		if c.offsets, err = c.outlet.Committed(ctx, c.names()); err != nil {
			return err
		}
	}
}

// pass copies from what is committed on. When ctx ends, it commits what it has produced.
func (c *copying) pass(ctx context.Context, loss kgo.Opt) error {
	_, options, err := c.plan.from.options()
	if err != nil {
		return err
	}
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: append(options, loss), Spans: c.remaining(c.offsets)})
	if err != nil {
		return err
	}
	defer reader.Close()
	c.begin()
	for {
		next, cancel := context.WithDeadline(ctx, c.due)
		portion, err := reader.Next(next)
		cancel()
		switch {
		case err == nil:
			err = c.addAll(ctx, portion)
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			err = c.commit(ctx)
		case errors.Is(err, io.EOF):
			return c.commit(ctx)
		}
		if ctx.Err() != nil {
			return cmp.Or(c.commit(ctx), context.Cause(ctx))
		}
		if err != nil {
			return err
		}
	}
}

// addAll adds a portion, in parts that --rate allows at a time, and commits when it is time to.
func (c *copying) addAll(ctx context.Context, portion consumer.Portion) error {
	atATime := len(portion.Records)
	if c.plan.rate > 0 {
		atATime = int(max(1, c.plan.rate/ratePartsPerSecond))
	}
	for ctx.Err() == nil {
		part := portion
		if len(portion.Records) > atATime {
			part.Records = portion.Records[:atATime]
			part.Next = part.Records[atATime-1].Offset + 1
		}
		if err := c.add(ctx, part); err != nil {
			return err
		}
		if c.pendingRecords >= copyCommitRecords || !time.Now().Before(c.due) {
			if err := c.commit(ctx); err != nil {
				return err
			}
		}
		if portion.Records = portion.Records[len(part.Records):]; len(portion.Records) == 0 {
			return nil
		}
	}
	return nil
}

// begin makes room for the next commit.
func (c *copying) begin() {
	c.pending, c.pendingCounts, c.pendingRecords = consumer.Offsets{}, copyCounts{}, 0
	c.due = time.Now().Add(copyCommitEvery)
}

// add produces what is wanted of a portion.
func (c *copying) add(ctx context.Context, portion consumer.Portion) error {
	counts := c.pendingCounts[portion.Partition]
	var wanted []*kgo.Record
	for _, record := range portion.Records {
		is, err := c.plan.wanted.wants(ctx, &printable{record: record})
		if err != nil {
			return err
		}
		if !is {
			counts.LeftOut++
			continue
		}
		counts.Copied++
		wanted = append(wanted, &kgo.Record{
			Topic: c.plan.destination, Partition: record.Partition, Key: record.Key, Value: record.Value, Headers: record.Headers, Timestamp: record.Timestamp,
		})
	}
	// Not with ctx: what is produced is to arrive also when a signal has come meanwhile.
	if err := c.outlet.Produce(c.delivery, wanted...); err != nil {
		return c.undelivered(err)
	}
	c.pendingCounts[portion.Partition] = counts
	c.pendingRecords += len(wanted)
	c.pending[consumer.TopicPartition{Topic: c.positions, Partition: portion.Partition}] = consumer.Offset{At: portion.Next, LeaderEpoch: -1}
	c.pay(ctx, len(wanted))
	return nil
}

// outlast returns a context that ends a while after ctx does.
func outlast(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(while, cancel) })
	return longer, func() { stop(); cancel() }
}

// undelivered makes a failure of the transaction one that can be undone.
func (c *copying) undelivered(err error) error {
	if c.plan.exactlyOnce {
		return fmt.Errorf("%w: %w", consumer.ErrAborted, err)
	}
	return err
}

// pay waits until --rate allows what was copied.
func (c *copying) pay(ctx context.Context, records int) {
	if c.plan.rate == 0 {
		return
	}
	now := time.Now()
	if c.paid.Before(now) {
		c.paid = now
	}
	c.paid = c.paid.Add(time.Duration(float64(records) / float64(c.plan.rate) * float64(time.Second)))
	timer := time.NewTimer(c.paid.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// commit commits what was produced, and how far the reading is.
func (c *copying) commit(ctx context.Context) error {
	if len(c.pending) == 0 {
		c.begin()
		return nil
	}
	budget, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyCommitMax)
	defer cancel()
	if err := c.outlet.Commit(budget, nil, c.pending); err != nil {
		return err
	}
	c.aborts = 0
	maps.Copy(c.offsets, c.pending)
	c.counts.add(c.pendingCounts)
	c.begin()
	c.progress.tell(c.counts.copied(), c.left(), time.Now())
	return nil
}

// left returns how many offsets are still to be read; -1: there is no end.
func (c *copying) left() (total int64) {
	for _, span := range c.remaining(c.offsets) {
		if span.To < 0 {
			return -1
		}
		total += span.To - span.From
	}
	return total
}
