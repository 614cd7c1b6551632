package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/millrace/millrace/consumer"
	"github.com/twmb/franz-go/pkg/kgo"
)

// grouped is a reading as a member of a group: the handler whose partitions are printed side by side.
type grouped struct {
	*reading
	mu struct {
		sync.Mutex                                      // of the output too
		partitions map[partitionKey]*consumer.Partition // whose position tells when the end is reached
		failure    error                                // why the first call of Process failed
	}
}

// readInGroup reads as a member until the plan's end. Offsets are committed of what was handed to the reader of the output.
func (r *reading) readInGroup(ctx context.Context, c *connection) error {
	_, options, err := c.options()
	if err != nil {
		return err
	}
	g := &grouped{reading: r}
	g.mu.partitions = map[partitionKey]*consumer.Partition{}
	group, err := consumer.New(consumer.Options{
		Client: options,
		Consumer: []kgo.Opt{kgo.WithHooks(r.loss), kgo.AdjustFetchOffsetsFn(
			func(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
				return r.cursor.startAt(offsets), nil
			})},
		Group: r.plan.group, Topics: r.plan.topics, Handler: g, Rebalanced: r.cursor.assign,
		ResetLostOffsets: true, StopTimeout: leaveMax,
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		g.watch(running, stop)
	}()
	err = group.Run(running)
	stop()
	<-watched
	switch {
	case g.mu.failure != nil:
		return g.mu.failure
	case err != nil:
		return brokerError(err, "")
	case ctx.Err() != nil:
		return endOf(ctx)
	}
	return nil
}

// watch stops the reading at its end, which may lie behind the last record.
func (g *grouped) watch(ctx context.Context, stop func()) {
	tick := time.NewTicker(pollMax)
	defer tick.Stop()
	for !g.finished() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	stop()
}

func (g *grouped) finished() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, p := range g.mu.partitions {
		g.cursor.reach(key, p.Position())
	}
	return g.cursor.finished()
}

// Assigned notes the partition.
func (g *grouped) Assigned(_ context.Context, p *consumer.Partition) (consumer.Processor, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.partitions[partitionKey{p.Topic, p.TopicPartition.Partition}] = p
	return g, nil
}

// Revoked forgets the partition.
func (g *grouped) Revoked(_ context.Context, p *consumer.Partition, _ consumer.Reason) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.mu.partitions, partitionKey{p.Topic, p.TopicPartition.Partition})
	return nil
}

// Process prints the wanted records of a batch, and hands them to the reader of the output.
func (g *grouped) Process(ctx context.Context, batch *consumer.Batch) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left == 0 || g.mu.failure != nil {
		return consumer.ErrStop // another partition had the last one
	}
	err := g.printLocked(ctx, batch)
	if err != nil && !errors.Is(err, consumer.ErrStop) {
		g.mu.failure = err
	}
	return err
}

func (g *grouped) printLocked(ctx context.Context, batch *consumer.Batch) error {
	fetched := &kgo.FetchPartition{Partition: batch.Partition.TopicPartition.Partition, HighWatermark: batch.HighWatermark}
	for i, record := range batch.Records {
		err := g.one(ctx, fetched, record)
		if err == nil {
			continue
		}
		if failed := g.writer.flush(); failed != nil {
			return failed
		}
		batch.Done(i) // what was printed before is not printed again
		if errors.Is(err, errEnough) {
			batch.Done(i + 1)
			return consumer.ErrStop
		}
		return err
	}
	return g.writer.flush()
}
