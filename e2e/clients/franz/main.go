// Command franz is franz-go behind the verbs of ../README.md.
package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/e2e/clients/internal/verbs"
)

type client struct{ broker string }

func main() { verbs.Main(func(broker string) verbs.Client { return client{broker} }) }

func (client) Module() string { return "github.com/twmb/franz-go" }

func (client) Groups() (tried, without string) { return "group-cooperative", "" }

func (client) Idempotent() bool { return true }

func (c client) options(options ...kgo.Opt) []kgo.Opt {
	// A kill may meet a connection's very first request, which kgo otherwise takes for a wrong configuration.
	return append([]kgo.Opt{kgo.SeedBrokers(c.broker), kgo.AlwaysRetryEOF()}, options...)
}

func (c client) open(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(c.options(options...)...)
}

func (c client) Create(ctx context.Context, topic string, partitions int) error {
	cl, err := c.open()
	if err != nil {
		return err
	}
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), 1, nil, topic)
	return err
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (c client) Send(ctx context.Context, topic, codec string, idempotent bool, records []verbs.Record) ([]verbs.At, error) {
	options := []kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codecs[codec])}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	cl, err := c.open(options...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	batch := make([]*kgo.Record, len(records))
	for i, r := range records {
		batch[i] = &kgo.Record{Value: []byte(r.Value), Timestamp: r.Time}
	}
	if err := cl.ProduceSync(ctx, batch...).FirstErr(); err != nil {
		return nil, err
	}
	at := make([]verbs.At, len(batch))
	for i, r := range batch {
		at[i] = verbs.At{Partition: r.Partition, Offset: r.Offset}
	}
	return at, nil
}

func (c client) Read(ctx context.Context, topic string, from int64, count int) ([]string, error) {
	return c.read(ctx, topic, from, count)
}

func (c client) read(ctx context.Context, topic string, from int64, count int, options ...kgo.Opt) ([]string, error) {
	cl, err := c.open(append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(from)}}))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var values []string
	for len(values) < count {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values[:count], nil
}

func (c client) OffsetAt(ctx context.Context, topic string, at time.Time) (int64, error) {
	cl, err := c.open()
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	offsets, err := kadm.NewClient(cl).ListOffsetsAfterMilli(ctx, at.UnixMilli(), topic)
	if err != nil {
		return 0, err
	}
	found, _ := offsets.Lookup(topic, 0)
	return found.Offset, found.Err
}

type member struct {
	owned  atomic.Int64
	cancel context.CancelFunc
	done   chan error
}

func (c client) Join(ctx context.Context, group, topic string, seen func(string, int64) bool) (verbs.Member, error) {
	m := &member{done: make(chan error, 1)}
	cl, err := c.open(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.owned.Add(int64(len(p[topic]))) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.owned.Add(-int64(len(p[topic]))) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, p map[string][]int32) { m.owned.Add(-int64(len(p[topic]))) }))
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	m.cancel = cancel
	go func() {
		defer cl.Close()
		for {
			fetches := cl.PollFetches(run)
			if run.Err() != nil {
				m.done <- nil
				return
			}
			for iter := fetches.RecordIter(); !iter.Done(); {
				r := iter.Next()
				more := seen(string(r.Value), r.Offset)
				// Leaving must not cut the commit short: what was seen is committed.
				if err := cl.CommitRecords(context.WithoutCancel(run), r); err != nil && run.Err() == nil {
					m.done <- err
					return
				}
				if !more {
					<-run.Done()
					m.done <- nil
					return
				}
			}
		}
	}()
	return m, nil
}

func (m *member) Owned() int { return int(m.owned.Load()) }

func (m *member) Leave() error {
	m.cancel()
	select {
	case err := <-m.done:
		m.done <- err
		return err
	case <-time.After(verbs.Patience):
		return context.DeadlineExceeded
	}
}

func (c client) Producer(topic string) (func(context.Context, string) (verbs.At, error), func(), error) {
	cl, err := c.open(kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0))
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, value string) (verbs.At, error) {
		r := kgo.StringRecord(value)
		err := cl.ProduceSync(ctx, r).FirstErr()
		return verbs.At{Partition: r.Partition, Offset: r.Offset}, err
	}, cl.Close, nil
}
