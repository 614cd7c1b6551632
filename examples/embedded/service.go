package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/streams"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Service takes votes and counts them. The topic is its memory: a vote that was taken is on the broker, and is counted once.
type Service struct {
	client  *kgo.Client
	app     *streams.App
	stop    context.CancelFunc
	running chan struct{} // gets something when the counting runs
	ended   chan error
}

// NewService connects to a broker, any Kafka-compatible one, creates the topics if need be and starts counting. What it has
// counted it keeps in stateDir.
func NewService(ctx context.Context, address, stateDir string) (*Service, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic("votes"))
	if err != nil {
		return nil, err
	}
	if err := createTopics(ctx, client); err != nil {
		client.Close()
		return nil, err
	}
	s := &Service{client: client, ended: make(chan error, 1), running: make(chan struct{}, 1)}
	s.app, err = streams.New(counting(), streams.Config{App: "voting", Brokers: []string{address}, StateDir: stateDir, OnState: s.onState})
	if err != nil {
		client.Close()
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() { s.ended <- s.app.Run(running) }()
	return s, s.awaitRunning(ctx)
}

func (s *Service) onState(state streams.State, _ error) {
	if state == streams.Running {
		select {
		case s.running <- struct{}{}:
		default:
		}
	}
}

// awaitRunning returns when the stores are there.
func (s *Service) awaitRunning(ctx context.Context) error {
	select {
	case <-s.running:
		return nil
	case err := <-s.ended:
		s.client.Close()
		return fmt.Errorf("the counting ended: %w", err)
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Close())
	}
}

func createTopics(ctx context.Context, client *kgo.Client) error {
	created, err := kadm.NewClient(client).CreateTopics(ctx, 4, -1, nil, "votes", "vote-counts")
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, topic := range created.Sorted() {
		if topic.Err != nil && !errors.Is(topic.Err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", topic.Topic, topic.Err)
		}
	}
	return nil
}

// Vote returns once the vote is durable.
func (s *Service) Vote(ctx context.Context, voter, choice string) error {
	return s.client.ProduceSync(ctx, &kgo.Record{Key: []byte(choice), Value: []byte(voter)}).FirstErr()
}

// Counts returns the votes that are counted.
func (s *Service) Counts(ctx context.Context) (map[string]int64, error) {
	counts := map[string]int64{}
	for row, err := range streams.Range(ctx, s.app, tally, nil, nil) {
		if err != nil {
			return nil, err
		}
		counts[row.Key] = row.Value
	}
	return counts, nil
}

// lookEvery is how often CountsWhen looks.
const lookEvery = 10 * time.Millisecond

// CountsWhen returns the counts once at least total votes are counted, or ctx's error.
func (s *Service) CountsWhen(ctx context.Context, total int64) (map[string]int64, error) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		counts, err := s.Counts(ctx)
		sum := int64(0)
		for _, count := range counts {
			sum += count
		}
		if err == nil && sum >= total {
			return counts, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("counted %d of %d votes: %w", sum, total, errors.Join(ctx.Err(), err))
		}
	}
}

// Close commits what was counted, and ends.
func (s *Service) Close() error {
	s.stop()
	err := <-s.ended
	s.client.Close()
	return err
}
