package main

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "votes"

// Service takes votes and counts them. The topic is its memory: a vote that was taken is on the broker.
type Service struct {
	client *kgo.Client
	stop   context.CancelFunc
	done   chan struct{}
	mu     struct {
		sync.Mutex
		counts map[string]int
		total  int
		moved  chan struct{} // closed and replaced whenever total grows
	}
}

// NewService connects to a broker, any Kafka-compatible one, creates the topic if need be and starts counting.
func NewService(ctx context.Context, address string) (*Service, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic),
		kgo.ConsumeTopics(topic), kgo.ConsumerGroup("counter"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	created, err := kadm.NewClient(client).CreateTopics(ctx, 4, 1, nil, topic)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("create topic %s (%v): %w", topic, created, err)
	}
	running, stop := context.WithCancel(context.Background())
	s := &Service{client: client, stop: stop, done: make(chan struct{})}
	s.mu.counts, s.mu.moved = map[string]int{}, make(chan struct{})
	go s.count(running)
	return s, nil
}

// Vote returns once the vote is durable.
func (s *Service) Vote(ctx context.Context, choice string) error {
	return s.client.ProduceSync(ctx, kgo.KeyStringRecord(choice, choice)).FirstErr()
}

// CountWhen returns the counts once at least total votes have been counted, or ctx's error.
func (s *Service) CountWhen(ctx context.Context, total int) (map[string]int, error) {
	for {
		s.mu.Lock()
		counts, counted, moved := maps.Clone(s.mu.counts), s.mu.total, s.mu.moved
		s.mu.Unlock()
		if counted >= total {
			return counts, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, fmt.Errorf("counted %d of %d votes: %w", counted, total, ctx.Err())
		}
	}
}

// Close leaves the group and stops counting.
func (s *Service) Close() {
	s.stop()
	<-s.done
	s.client.Close()
}

func (s *Service) count(ctx context.Context) {
	defer close(s.done)
	for ctx.Err() == nil {
		fetches := s.client.PollFetches(ctx)
		s.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			s.mu.counts[string(r.Key)]++
			s.mu.total++
		})
		close(s.mu.moved)
		s.mu.moved = make(chan struct{})
		s.mu.Unlock()
	}
}
