package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/consumer"
	"github.com/twmb/franz-go/pkg/kgo"
)

// demoTick is how often the next clicks are due, and how often something is looked at that is waited for.
const demoTick = 10 * time.Millisecond

// demoLoad is how much has been written.
type demoLoad struct{ acknowledged atomic.Int64 }

// countThroughKills writes, counts and kills until everything that was written is in the results.
func (d *demo) countThroughKills(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	following, unfollow := context.WithCancel(ctx)
	defer unfollow()
	var group sync.WaitGroup
	part := func(body func() error) {
		group.Go(func() {
			if err := body(); err != nil {
				cancel(err)
			}
		})
	}
	part(func() error { return d.follow(following, d.live) })
	part(func() error { return d.watch(following) })
	part(func() error { return d.write(ctx) })
	part(func() error {
		defer unfollow()
		if err := d.killRepeatedly(ctx); err != nil {
			return err
		}
		return d.await(ctx, func() bool { return d.live.settled() >= d.records })
	})
	group.Wait()
	return context.Cause(ctx)
}

func (d *demo) clientOptions(more ...kgo.Opt) []kgo.Opt {
	return append(append([]kgo.Opt{kgo.SeedBrokers(d.broker.address)}, demoClient()...), more...)
}

// write sends every click, as fast as the rate says, and waits for the acknowledgements. The producer is idempotent: it may
// send a batch again after a crash of the broker without storing it twice.
func (d *demo) write(ctx context.Context) error {
	client, err := kgo.NewClient(d.clientOptions(
		kgo.DefaultProduceTopic(demoClicks.Name()),
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
			click := d.stream.Click(next)
			record := &kgo.Record{Key: []byte(click.Page), Value: click.Append(nil), Timestamp: click.Time()}
			client.Produce(ctx, record, func(_ *kgo.Record, err error) {
				if err != nil {
					cancel(fmt.Errorf("click %d was refused: %w", click.ID, brokerError(err, "")))
					return
				}
				d.load.acknowledged.Add(1)
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

// killRepeatedly kills a process and starts it again each time that another part of the clicks has been counted: the worker,
// and in between the broker as often as that is wanted.
func (d *demo) killRepeatedly(ctx context.Context) error {
	left, brokerLeft := d.flags.kills, d.flags.brokerKills
	kills := left + brokerLeft
	for kill := 1; kill <= kills; kill++ {
		at := d.records * int64(kill) / int64(kills+1)
		if err := d.await(ctx, func() bool { return d.live.settled() >= at }); err != nil {
			return err
		}
		var err error
		if left >= brokerLeft {
			left--
			err = d.killWorker(ctx)
		} else {
			brokerLeft--
			err = d.killBroker(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) killWorker(ctx context.Context) error {
	d.say("kill -9 %d, the worker, with %d of %d clicks settled", d.worker.pid(), d.live.settled(), d.load.acknowledged.Load())
	d.worker.kill()
	settled, killed := d.live.settled(), time.Now()
	if err := d.worker.start(); err != nil {
		return err
	}
	if err := d.await(ctx, func() bool { return d.live.settled() > settled }); err != nil {
		return err
	}
	d.say("worker (pid %d) goes on after %d ms", d.worker.pid(), time.Since(killed).Milliseconds())
	return nil
}

func (d *demo) killBroker(ctx context.Context) error {
	d.say("kill -9 %d, the broker, with %d clicks acknowledged", d.broker.pid(), d.load.acknowledged.Load())
	killed := time.Now()
	d.broker.kill()
	if err := d.broker.start(ctx); err != nil {
		return err
	}
	d.say("broker (pid %d) is back after %d ms", d.broker.pid(), time.Since(killed).Milliseconds())
	return nil
}

// await returns when done says so, or fails when a process has ended.
func (d *demo) await(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(demoTick)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if err := errors.Join(d.broker.running(), d.worker.running()); err != nil {
			return err
		}
	}
	return nil
}

// watch shows how far things are, and fails when nothing moves any more.
func (d *demo) watch(ctx context.Context) error {
	ticker := time.NewTicker(d.view.every())
	defer ticker.Stop()
	progress := stallWatch{limit: demoStallMax, moved: time.Now()}
	for {
		select {
		case <-ctx.Done():
			d.view.clear()
			return nil
		case <-ticker.C:
		}
		in, settled := d.load.acknowledged.Load(), d.live.settled()
		d.view.show(time.Since(d.begin), in, d.live)
		if progress.stalled(in+settled, true, time.Now()) {
			return fmt.Errorf("nothing moved for %v with %d clicks acknowledged and %d settled", demoStallMax, in, settled)
		}
	}
}

// follow gives what is committed to the tally until ctx ends.
func (d *demo) follow(ctx context.Context, tally *demoTally) error {
	err := d.read(ctx, consumer.Never(), tally.take, demoViews.Name(), demoLate.Name())
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// read gives the committed records of topics to take, in the order of each partition, up to an end.
func (d *demo) read(ctx context.Context, end consumer.Bound, take func(*kgo.Record) error, topics ...string) error {
	client, err := kgo.NewClient(d.clientOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	spans, err := consumer.Resolve(ctx, client, consumer.AtStart(), end, topics...)
	if err != nil {
		return err
	}
	reader, err := consumer.NewReader(consumer.ReaderOptions{Client: d.clientOptions(), Spans: spans})
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		portion, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %v: %w", topics, brokerError(err, ""))
		}
		for _, r := range portion.Records {
			if err := take(r); err != nil {
				return fmt.Errorf("%s/%d at offset %d: %w", r.Topic, r.Partition, r.Offset, err)
			}
		}
	}
}
