package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/load"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newBenchProduceCommand(c *connection) *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use:   "produce",
		Short: "Write records at a fixed rate, or as fast as possible, and time their acknowledgement",
		Long: `Write records at a fixed rate, or as fast as possible, and time their acknowledgement.

With a rate, records are due at fixed times, whether the broker keeps up or not, and a record's latency
counts from when it was due. With --rate 0 it counts from when the client was given the record, which it
takes only as fast as it gets rid of others.`,
		Example: `  millrace bench produce --rate 20000 --size 200 --duration 30s
  millrace bench produce --rate 0 -n 1000000 -z lz4 --payload text --json`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd, c, func(r *benchRun) error { return r.produce(r.recorder.Done) })
		},
	}
	flags.addFlags(cmd.Flags())
	flags.addProduceFlags(cmd.Flags())
	return cmd
}

// produce writes the records that are asked for. done is called for each that is acknowledged; failures are counted.
// It returns once all have been answered, or with ctx.
func (r *benchRun) produce(done func(bytes int, due, now time.Duration)) error {
	options, err := r.flags.produceOptions()
	if err != nil {
		return err
	}
	clients := make([]*kgo.Client, r.flags.producers)
	for i := range clients {
		if clients[i], err = r.connection.open(r.ctx, options...); err != nil {
			return err
		}
		defer clients[i].Close()
	}
	r.begin()
	var producing sync.WaitGroup
	for i, client := range clients {
		producing.Go(func() { r.produceShare(client, i, done) })
	}
	producing.Wait()
	drain, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), deliveryMax)
	if r.ctx.Err() != nil {
		drain, cancel = context.WithTimeout(drain, benchDrainMax)
	}
	defer cancel()
	for _, client := range clients {
		if err := client.Flush(drain); err != nil {
			_ = client.AbortBufferedRecords(context.WithoutCancel(drain)) // each is then told to its promise
		}
	}
	return r.ctx.Err()
}

// produceShare writes one client's share: of each round of records, one per client, the first-th.
func (r *benchRun) produceShare(client *kgo.Client, first int, done func(int, time.Duration, time.Duration)) {
	payloads, err := load.NewPayloads(r.flags.payload, r.flags.size, r.flags.seed+uint64(first))
	if err != nil {
		r.recorder.Failed(err)
		return
	}
	schedule := load.Schedule{Rate: r.flags.rate}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for n := int64(first); r.flags.records == 0 || n < r.flags.records; n += int64(r.flags.producers) {
		due := schedule.Due(n, r.now())
		if end := r.flags.warmUp + r.flags.duration; r.flags.duration > 0 {
			if due >= end {
				return
			}
			if r.now() > end+benchOverrunMax {
				r.behind.Store(true)
				return
			}
		}
		if early := due - r.now(); early > 0 {
			pause.Reset(early)
			select {
			case <-pause.C:
			case <-r.ctx.Done():
			}
		}
		if r.ctx.Err() != nil {
			return
		}
		record := &kgo.Record{Topic: r.topic.name, Value: payloads.Next()}
		if r.id != 0 {
			record.Value = load.Stamp(record.Value, r.id, due)
		}
		client.Produce(r.ctx, record, func(record *kgo.Record, err error) {
			switch {
			case err == nil:
				done(len(record.Value), due, r.now())
			case !errors.Is(err, context.Canceled): // an interrupted run leaves some behind
				r.recorder.Failed(err)
			}
		})
	}
}
