package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/load"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newBenchConsumeCommand(c *connection) *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use:   "consume",
		Short: "Read a topic as fast as possible",
		Long: `Read a topic from its beginning to where it ends now, as fast as possible.

Without --topic one is created and filled first, with --records records or 100000, which is not measured.`,
		Example: `  millrace bench consume -n 1000000 --size 200
  millrace bench consume -t clicks --consumers 2 --json`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd, c, (*benchRun).consume)
		},
	}
	flags.addFlags(cmd.Flags())
	flags.addConsumeFlags(cmd.Flags())
	cmd.Flags().Lookup("duration").Usage = "for how long at most"
	return cmd
}

// consume reads the topic to its present end, or until there are as many records as wanted or the time is over.
func (r *benchRun) consume() error {
	r.flags.warmUp = 0
	r.recorder = load.NewRecorder(0)
	if r.topic.created {
		if err := r.fill(); err != nil {
			return fmt.Errorf("fill topic %s: %w", r.topic.name, err)
		}
	}
	from, to, err := r.offsets()
	if err != nil {
		return err
	}
	clients, err := r.readers(from)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	if r.flags.duration > 0 {
		ctx, stop = context.WithTimeout(ctx, r.flags.duration)
		defer stop()
	}
	r.begin()
	left := &remaining{records: r.flags.records, ends: to, stop: stop}
	left.check(from)
	r.readAll(ctx, clients, func(record *kgo.Record) {
		if left.take(record) {
			now := r.now()
			r.recorder.Done(len(record.Key)+len(record.Value), now, now)
		}
	})
	return r.ctx.Err()
}

// remaining ends a run once all that was wanted is read.
type remaining struct {
	mu      sync.Mutex
	records int64 // that are wanted; 0: all
	read    int64
	ends    map[int32]int64 // offsets to read to, of the partitions that are not finished
	stop    func()
}

// check finishes the partitions in which there is nothing to read.
func (r *remaining) check(from map[int32]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for partition, end := range r.ends {
		if from[partition] >= end {
			delete(r.ends, partition)
		}
	}
	if len(r.ends) == 0 {
		r.stop()
	}
}

// take reports whether record is one of those that are wanted.
func (r *remaining) take(record *kgo.Record) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	end, unfinished := r.ends[record.Partition]
	if !unfinished || r.records > 0 && r.read >= r.records {
		return false
	}
	r.read++
	if record.Offset+1 >= end {
		delete(r.ends, record.Partition)
	}
	if len(r.ends) == 0 || r.read == r.records {
		r.stop()
	}
	return true
}

// offsets returns where the topic's partitions begin and end now.
func (r *benchRun) offsets() (from, to map[int32]int64, err error) {
	from, to = map[int32]int64{}, map[int32]int64{}
	err = r.connection.admin(r.ctx, func(ctx context.Context, client *kadm.Client) error {
		for _, side := range []struct {
			list func(context.Context, ...string) (kadm.ListedOffsets, error)
			into map[int32]int64
		}{{client.ListStartOffsets, from}, {client.ListEndOffsets, to}} {
			listed, err := side.list(ctx, r.topic.name)
			if err == nil {
				err = listed.Error()
			}
			if err != nil {
				return fmt.Errorf("offsets of topic %s: %w", r.topic.name, err)
			}
			listed.Each(func(o kadm.ListedOffset) { side.into[o.Partition] = o.Offset })
		}
		return nil
	})
	return from, to, err
}

// readers opens the clients that read, each its share of the partitions from these offsets on. readAll closes them.
func (r *benchRun) readers(from map[int32]int64) ([]*kgo.Client, error) {
	shares := make([]map[int32]kgo.Offset, min(r.flags.consumers, len(from)))
	for partition, offset := range from {
		i := int(partition) % len(shares)
		if shares[i] == nil {
			shares[i] = map[int32]kgo.Offset{}
		}
		shares[i][partition] = kgo.NewOffset().At(offset)
	}
	var clients []*kgo.Client
	for _, share := range shares {
		client, err := r.connection.open(r.ctx, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic.name: share}))
		if err != nil {
			for _, opened := range clients {
				opened.Close()
			}
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// readAll hands records to take until ctx ends or nothing has come for benchDrainMax. It closes the clients.
func (r *benchRun) readAll(ctx context.Context, clients []*kgo.Client, take func(*kgo.Record)) {
	var reading sync.WaitGroup
	for _, client := range clients {
		reading.Go(func() {
			defer client.Close()
			for last := time.Now(); ctx.Err() == nil && time.Since(last) < benchDrainMax; {
				patience, cancel := context.WithTimeout(ctx, benchDrainMax)
				fetches := client.PollFetches(patience)
				cancel()
				if fetches.NumRecords() > 0 {
					last = time.Now()
				}
				fetches.EachError(func(_ string, _ int32, err error) {
					if patience.Err() == nil {
						r.recorder.Failed(err)
					}
				})
				fetches.EachRecord(take)
			}
		})
	}
	reading.Wait()
}

// fill writes the records that are then read.
func (r *benchRun) fill() error {
	payloads, err := load.NewPayloads(r.flags.payload, r.flags.size, r.flags.seed)
	if err != nil {
		return err
	}
	options := []kgo.Opt{kgo.RecordDeliveryTimeout(deliveryMax)}
	if r.flags.codec != "" {
		options = append(options, kgo.ProducerBatchCompression(clientconfig.Codec(string(r.flags.codec))))
	}
	client, err := r.connection.open(r.ctx, options...)
	if err != nil {
		return err
	}
	defer client.Close()
	records := r.flags.records
	if records == 0 {
		records = benchFill
	}
	failure := kgo.AbortingFirstErrPromise(client)
	for n := int64(0); n < records && r.ctx.Err() == nil; n++ {
		client.Produce(r.ctx, &kgo.Record{Topic: r.topic.name, Value: payloads.Next()}, failure.Promise())
	}
	return failure.Err()
}
