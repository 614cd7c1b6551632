package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clicks"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// demoTick is how often the next clicks are due.
	demoTick = 10 * time.Millisecond
	// demoRetry is how soon clients try a broker again that was killed.
	demoRetry = 50 * time.Millisecond
	// demoCommitEvery is how often a member commits what it has processed.
	demoCommitEvery = 500 * time.Millisecond
)

func (d *demo) clientOptions(more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{
		kgo.SeedBrokers(d.broker.address),
		kgo.AlwaysRetryEOF(), // a kill may meet a connection's very first request
		kgo.RetryBackoffFn(func(int) time.Duration { return demoRetry }),
		kgo.MetadataMinAge(demoRetry),
	}, more...)
}

// write sends every click, as fast as the rate says, and waits for the acknowledgements. The
// producer is idempotent: it may send a batch again after a crash without storing it twice.
func (d *demo) write(ctx context.Context) error {
	client, err := kgo.NewClient(d.clientOptions(
		kgo.DefaultProduceTopic(demoTopic),
		kgo.StopProducerOnDataLossDetected(),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	start := time.Now()
	for next := int64(0); next < d.records; {
		due := min(d.records, int64(time.Since(start).Seconds()*float64(d.flags.rate))+1)
		for ; next < due && ctx.Err() == nil; next++ {
			id := next
			value := d.stream.Append(nil, id)
			client.Produce(ctx, &kgo.Record{Key: clicks.Key(value), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					cancel(fmt.Errorf("click %d was refused: %w", id, brokerError(err, "")))
					return
				}
				d.ledger.Acknowledged(id)
			})
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	_ = client.Flush(ctx) // it fails only when ctx ends
	return context.Cause(ctx)
}

// read is one member of the group. It commits what it has put into the ledger, never more.
func (d *demo) read(ctx context.Context) error {
	client, err := kgo.NewClient(d.clientOptions(
		kgo.ConsumerGroup(demoGroup),
		kgo.ConsumeTopics(demoTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(demoCommitEvery),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, _ map[string][]int32) {
			_ = client.CommitMarkedOffsets(ctx) // what is not committed is redelivered, and counted
		}),
	)...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			if !errors.Is(err, context.Canceled) && !joinsAgain(err) {
				failed = fmt.Errorf("read %s/%d: %w", topic, partition, brokerError(err, ""))
			}
		})
		fetches.EachRecord(func(r *kgo.Record) { d.ledger.Delivered(r.Partition, r.Offset, r.Value) })
		client.MarkCommitRecords(fetches.Records()...)
		client.AllowRebalance()
		if failed != nil {
			return failed
		}
	}
	return nil
}

// killRepeatedly kills and restarts the broker each time that another part of the clicks was
// acknowledged.
func (d *demo) killRepeatedly(ctx context.Context) error {
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for kill := 1; kill <= d.flags.kills; kill++ {
		at := d.records * int64(kill) / int64(d.flags.kills+1)
		for d.ledger.Progress().Sent < at {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			if err := d.broker.running(); err != nil {
				return err
			}
		}
		pid, killed := d.broker.pid(), time.Now()
		d.broker.kill()
		tally := d.ledger.Progress()
		d.say("kill -9 %d at %d acknowledged, %d received", pid, tally.Sent, tally.Received)
		if err := d.broker.start(ctx); err != nil {
			return err
		}
		d.say("broker (pid %d) is back after %d ms", d.broker.pid(), time.Since(killed).Milliseconds())
	}
	return nil
}

// awaitDelivery returns when the group was delivered everything that the topic holds, and how much
// that is. watch ends ctx when nothing moves any more.
func (d *demo) awaitDelivery(ctx context.Context) (stored int64, err error) {
	ends, err := d.endOffsets(ctx)
	if err != nil {
		return 0, err
	}
	for _, end := range ends {
		stored += end
	}
	d.say("all acknowledged, the topic holds %d records; waiting for the group", stored)
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for partition, end := range ends {
		for d.ledger.Next(partition) < end {
			select {
			case <-ctx.Done():
				return stored, context.Cause(ctx)
			case <-ticker.C:
			}
		}
	}
	return stored, nil
}

func (d *demo) endOffsets(ctx context.Context) (ends map[int32]int64, err error) {
	c := connection{brokers: []string{d.broker.address}}
	err = c.admin(ctx, func(ctx context.Context, client *kadm.Client) error {
		listed, err := client.ListEndOffsets(ctx, demoTopic)
		if err != nil {
			return err
		}
		ends = map[int32]int64{}
		for partition, offset := range listed[demoTopic] {
			if offset.Err != nil {
				return offset.Err
			}
			ends[partition] = offset.Offset
		}
		return nil
	})
	return ends, err
}

// awaitCommit returns when the group has committed everything that the topic holds.
func (d *demo) awaitCommit(ctx context.Context, stored int64) error {
	c := connection{brokers: []string{d.broker.address}}
	return c.admin(ctx, func(ctx context.Context, client *kadm.Client) error {
		ticker := time.NewTicker(demoTick)
		defer ticker.Stop()
		for {
			committed, err := committedRecords(ctx, client)
			if err != nil {
				return fmt.Errorf("ask what group %s has committed: %w", demoGroup, err)
			}
			if committed == stored {
				d.say("the group has committed all %d records", committed)
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the group has committed %d records of %d: %w", committed, stored, context.Cause(ctx))
			case <-ticker.C:
			}
		}
	})
}

func committedRecords(ctx context.Context, client *kadm.Client) (committed int64, err error) {
	offsets, err := client.FetchOffsets(ctx, demoGroup)
	if err != nil {
		return 0, err
	}
	for _, offset := range offsets.Sorted() {
		if offset.Err != nil {
			return 0, offset.Err
		}
		committed += max(0, offset.At)
	}
	return committed, nil
}
