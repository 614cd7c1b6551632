package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/millrace/millrace/consumer"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of consume.
const (
	// pollMax is how long one wait for records lasts before the ends are checked again.
	pollMax = 250 * time.Millisecond
	// pollRecordsMax bounds the records between two flushes of the output.
	pollRecordsMax = 10_000
	// leaveMax bounds the last batch and commit of a member.
	leaveMax = 5 * time.Second
)

var (
	errTimeout = errors.New("the time of --timeout is over")
	errEnough  = errors.New("as many records as asked for")
)

func (p *consumePlan) run(cmd *cobra.Command, c *connection) error {
	ctx := cmd.Context()
	if p.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, p.timeout, errTimeout)
		defer cancel()
	}
	var spans map[partitionKey]*partitionSpan
	err := c.admin(ctx, func(ctx context.Context, client *kadm.Client) (err error) {
		spans, err = p.resolve(ctx, client)
		return err
	})
	if err == nil {
		if p.tail > 0 {
			err = p.printTail(ctx, c, spans, cmd.ErrOrStderr())
		} else {
			err = p.follow(ctx, c, spans, cmd.ErrOrStderr())
		}
	}
	return ended(cmd.Context(), ctx, err)
}

// ended tells an end that was asked for, with Ctrl-C or by the reader of the output, from a failure.
// outer is the context of the process, inner the one that --timeout ends.
func ended(outer, inner context.Context, err error) error {
	switch {
	case errors.Is(err, errTooFew):
		return err
	case outer.Err() != nil && (err == nil || errors.Is(err, context.Canceled)), readerGone(err):
		return nil
	case errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(inner), errTimeout):
		return fmt.Errorf("%w before anything could be read", errTimeout)
	}
	return err
}

// errTooFew is the failure of -n with --timeout.
var errTooFew = errors.New("too few records")

// reading is one run of the consume loop.
type reading struct {
	plan   *consumePlan
	client *kgo.Client
	cursor *cursor
	writer *recordWriter
	loss   *lossWatch
	left   int64          // records still to print, -1 without limit
	tail   *tailCollector // takes the records instead of writer
}

// follow reads on until the plan's end, from partitions directly or as a member of a group.
func (p *consumePlan) follow(ctx context.Context, c *connection, spans map[partitionKey]*partitionSpan, stderr io.Writer) error {
	r := &reading{plan: p, cursor: newCursor(spans), writer: newRecordWriter(p.output, p.appender), left: -1}
	if p.count > 0 {
		r.left = p.count
	}
	err := r.read(ctx, c, stderr)
	p.wanted.tell(stderr)
	if errors.Is(err, errTimeout) {
		if p.count > 0 && r.left > 0 {
			return fmt.Errorf("%w: %d of %d within %v", errTooFew, p.count-r.left, p.count, p.timeout)
		}
		return nil
	}
	return err
}

// read opens the client, loops, and closes it; in a group it commits and leaves.
func (r *reading) read(ctx context.Context, c *connection, stderr io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.loss = newLossWatch(stderr, r.plan.bounded(), cancel)
	if r.plan.group != "" {
		return r.readInGroup(ctx, c)
	}
	options := r.options()
	if r.cursor.finished() {
		return nil
	}
	client, err := c.open(ctx, options...)
	if err != nil {
		return err
	}
	defer client.Close()
	r.client = client
	return r.loop(ctx)
}

func (r *reading) options() []kgo.Opt {
	offsets := r.cursor.offsets()
	var assigned []consumer.TopicPartition
	for topic, partitions := range offsets {
		for partition := range partitions {
			assigned = append(assigned, consumer.TopicPartition{Topic: topic, Partition: partition})
		}
	}
	r.cursor.assign(assigned)
	return []kgo.Opt{
		kgo.ConsumePartitions(offsets),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they move a cursor to its end, and are never printed
		kgo.WithHooks(r.loss),
	}
}

// loop polls until the plan's end, the end of ctx or an error. It returns the cause of ctx's end.
func (r *reading) loop(ctx context.Context) error {
	for !r.cursor.finished() {
		poll, cancel := context.WithTimeout(ctx, pollMax)
		fetches := r.client.PollRecords(poll, pollRecordsMax)
		cancel()
		err := r.handle(ctx, fetches)
		if flushed := r.flush(); flushed != nil {
			return flushed
		}
		switch {
		case errors.Is(err, errEnough):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return endOf(ctx)
		}
	}
	return nil
}

// endOf returns why ctx ended: context.Canceled for a signal, else its cause.
func endOf(ctx context.Context) error {
	var stopped *signalError
	if cause := context.Cause(ctx); !errors.As(cause, &stopped) {
		return cause
	}
	return ctx.Err()
}

// handle prints the wanted records of one poll.
func (r *reading) handle(ctx context.Context, fetches kgo.Fetches) error {
	var failed error
	fetches.EachError(func(topic string, partition int32, err error) {
		switch {
		case failed != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		case topic == "":
			failed = brokerError(err, "")
		default:
			failed = fmt.Errorf("topic %q partition %d: %w", topic, partition, brokerError(err, ""))
		}
	})
	if failed != nil {
		return failed
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		for _, record := range p.Records {
			if failed != nil {
				return
			}
			failed = r.one(ctx, &p.FetchPartition, record)
		}
	})
	return failed
}

func (r *reading) one(ctx context.Context, partition *kgo.FetchPartition, record *kgo.Record) error {
	p := printable{record: record}
	wanted := r.cursor.take(record)
	if wanted {
		var err error
		if wanted, err = r.plan.wanted.wants(ctx, &p); err != nil {
			return err
		}
	}
	if r.tail != nil {
		if wanted {
			r.tail.add(p)
		}
		return nil
	}
	if wanted {
		if err := r.writer.write(partition, p); err != nil {
			return err
		}
	}
	if wanted && r.left > 0 {
		if r.left--; r.left == 0 {
			return errEnough
		}
	}
	return nil
}

// flush hands the printed records to the reader of the output.
func (r *reading) flush() error {
	if r.tail != nil {
		return nil
	}
	return r.writer.flush()
}
