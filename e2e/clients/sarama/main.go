// Command sarama is IBM/sarama behind the verbs of ../README.md.
package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/millrace/millrace/e2e/clients/internal/verbs"
)

type client struct{ broker string }

func main() { verbs.Main(func(broker string) verbs.Client { return client{broker} }) }

func (client) Module() string { return "github.com/IBM/sarama" }

func (client) Groups() (tried, without string) { return "group-eager", "" }

func (client) Idempotent() bool { return true }

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	// One connection carries fetches and commits, and a broker answers in order: a commit waits for the poll before it.
	c.Consumer.MaxWaitTime = 50 * time.Millisecond
	c.Consumer.Group.Session.Timeout = 6 * time.Second
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	c.Metadata.Retry.Max = 20
	return c
}

func idempotence(c *sarama.Config) {
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
}

func (c client) Create(_ context.Context, topic string, partitions int) error {
	admin, err := sarama.NewClusterAdmin([]string{c.broker}, config())
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1}, false)
}

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func (c client) Send(_ context.Context, topic, codec string, idempotent bool, records []verbs.Record) ([]verbs.At, error) {
	cfg := config()
	cfg.Producer.Compression = codecs[codec]
	if idempotent {
		idempotence(cfg)
	}
	p, err := sarama.NewSyncProducer([]string{c.broker}, cfg)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	messages := make([]*sarama.ProducerMessage, len(records))
	for i, r := range records {
		messages[i] = &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(r.Value), Timestamp: r.Time}
	}
	if err := p.SendMessages(messages); err != nil {
		return nil, err
	}
	at := make([]verbs.At, len(messages))
	for i, m := range messages {
		at[i] = verbs.At{Partition: m.Partition, Offset: m.Offset}
	}
	return at, nil
}

func (c client) Read(ctx context.Context, topic string, from int64, count int) ([]string, error) {
	return c.read(ctx, config(), topic, from, count)
}

func (c client) read(ctx context.Context, config *sarama.Config, topic string, from int64, count int) ([]string, error) {
	consumer, err := sarama.NewConsumer([]string{c.broker}, config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, from)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	var values []string
	for len(values) < count {
		select {
		case m := <-partition.Messages():
			values = append(values, string(m.Value))
		case <-ctx.Done():
			return nil, fmt.Errorf("read %d of %d", len(values), count)
		}
	}
	return values, nil
}

func (c client) OffsetAt(_ context.Context, topic string, at time.Time) (int64, error) {
	cl, err := sarama.NewClient([]string{c.broker}, config())
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	return cl.GetOffset(topic, 0, at.UnixMilli())
}

type member struct {
	group  sarama.ConsumerGroup
	cancel context.CancelFunc
	owned  atomic.Int64
	seen   func(string, int64) bool
	done   chan struct{}
	once   sync.Once
}

func (c client) Join(ctx context.Context, group, topic string, seen func(string, int64) bool) (verbs.Member, error) {
	g, err := sarama.NewConsumerGroup([]string{c.broker}, group, config())
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	m := &member{group: g, cancel: cancel, seen: seen, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for run.Err() == nil {
			if err := g.Consume(run, []string{topic}, m); err != nil {
				return
			}
		}
	}()
	return m, nil
}

func (m *member) Owned() int { return int(m.owned.Load()) }

func (m *member) Leave() (err error) {
	m.once.Do(func() {
		m.cancel()
		<-m.done
		err = m.group.Close()
	})
	return err
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	for _, p := range s.Claims() {
		m.owned.Store(int64(len(p)))
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { m.owned.Store(0); return nil }

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case r, open := <-claim.Messages():
			if !open {
				return nil
			}
			more := m.seen(string(r.Value), r.Offset)
			s.MarkMessage(r, "")
			s.Commit()
			if !more {
				<-s.Context().Done()
				return nil
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

func (c client) Producer(topic string) (func(context.Context, string) (verbs.At, error), func(), error) {
	cfg := config()
	idempotence(cfg)
	cfg.Producer.Retry.Max = 100
	cfg.Producer.Retry.Backoff = 100 * time.Millisecond
	p, err := sarama.NewSyncProducer([]string{c.broker}, cfg)
	if err != nil {
		return nil, nil, err
	}
	return func(_ context.Context, value string) (verbs.At, error) {
		partition, offset, err := p.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
		return verbs.At{Partition: partition, Offset: offset}, err
	}, func() { _ = p.Close() }, nil
}
