// Command segmentio is segmentio/kafka-go behind the verbs of ../README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/millrace/millrace/e2e/clients/internal/verbs"
)

type client struct{ broker string }

func main() { verbs.Main(func(broker string) verbs.Client { return client{broker} }) }

func (client) Module() string { return "github.com/segmentio/kafka-go" }

func (client) Groups() (tried, without string) { return "group-eager", "group-cooperative" }

func (client) Idempotent() bool { return false }

func (client) WithoutTransactions() map[string]string {
	const requests = "kafka-go has the requests, and no producer of transactional batches"
	return map[string]string{"transactions": requests, "transactional-offsets": requests, "fencing": requests,
		"read-committed": "kafka-go's reader hands out aborted and control records all the same"}
}

func (c client) requests() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(c.broker), Timeout: verbs.Patience}
}

func (c client) Create(ctx context.Context, topic string, partitions int) error {
	r, err := c.requests().CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}},
	})
	if err != nil {
		return err
	}
	return r.Errors[topic]
}

var codecs = map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}

// Send does not learn offsets: kafka-go's writer does not tell them. The feature that needs them is skipped.
func (c client) Send(ctx context.Context, topic, codec string, _ bool, records []verbs.Record) ([]verbs.At, error) {
	w := &kafka.Writer{Addr: kafka.TCP(c.broker), Topic: topic, Compression: codecs[codec], RequiredAcks: kafka.RequireAll,
		Balancer: &kafka.RoundRobin{}, BatchTimeout: 10 * time.Millisecond}
	defer w.Close()
	messages := make([]kafka.Message, len(records))
	for i, r := range records {
		messages[i] = kafka.Message{Value: []byte(r.Value), Time: r.Time}
	}
	return nil, w.WriteMessages(ctx, messages...)
}

func (c client) Read(ctx context.Context, topic string, from int64, count int) ([]string, error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{c.broker}, Topic: topic, Partition: 0, MaxWait: 200 * time.Millisecond})
	defer r.Close()
	if err := r.SetOffset(from); err != nil {
		return nil, err
	}
	var values []string
	for len(values) < count {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read %d of %d: %w", len(values), count, err)
		}
		values = append(values, string(m.Value))
	}
	return values, nil
}

func (c client) OffsetAt(ctx context.Context, topic string, at time.Time) (int64, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", c.broker, topic, 0)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ReadOffset(at)
}

type member struct {
	group  *kafka.ConsumerGroup
	cancel context.CancelFunc
	done   chan struct{}
	mu     sync.Mutex
	owned  int
}

func (c client) Join(ctx context.Context, group, topic string, seen func(string, int64) bool) (verbs.Member, error) {
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: []string{c.broker}, Topics: []string{topic},
		SessionTimeout: 6 * time.Second, HeartbeatInterval: 500 * time.Millisecond, StartOffset: kafka.FirstOffset})
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	m := &member{group: g, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(m.done)
		for {
			generation, err := g.Next(run)
			if errors.Is(err, kafka.ErrGroupClosed) || run.Err() != nil {
				return
			}
			if err != nil {
				continue
			}
			m.set(len(generation.Assignments[topic]))
			for _, a := range generation.Assignments[topic] {
				generation.Start(func(ctx context.Context) { c.work(ctx, generation, topic, a, seen) })
			}
		}
	}()
	return m, nil
}

// work reads one assigned partition for one generation and commits behind each record.
func (c client) work(ctx context.Context, generation *kafka.Generation, topic string, a kafka.PartitionAssignment, seen func(string, int64) bool) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{c.broker}, Topic: topic, Partition: a.ID, MaxWait: 200 * time.Millisecond})
	defer r.Close()
	_ = r.SetOffset(a.Offset)
	for {
		message, err := r.ReadMessage(ctx)
		if err != nil {
			return
		}
		more := seen(string(message.Value), message.Offset)
		if err := generation.CommitOffsets(map[string]map[int]int64{topic: {a.ID: message.Offset + 1}}); err != nil {
			return
		}
		if !more {
			<-ctx.Done()
			return
		}
	}
}

func (m *member) set(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owned = n
}

func (m *member) Owned() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.owned
}

func (m *member) Leave() error {
	err := m.group.Close()
	m.cancel()
	<-m.done
	return err
}

// Producer writes with a request of its own, so that the offset of the answer is known.
func (c client) Producer(topic string) (func(context.Context, string) (verbs.At, error), func(), error) {
	requests := c.requests()
	return func(ctx context.Context, value string) (verbs.At, error) {
		r, err := requests.Produce(ctx, &kafka.ProduceRequest{Topic: topic, Partition: 0, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value)), Time: time.Now()})})
		if err == nil {
			err = r.Error
		}
		if err != nil {
			return verbs.At{}, err
		}
		return verbs.At{Partition: 0, Offset: r.BaseOffset}, nil
	}, func() {}, nil
}
