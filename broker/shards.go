package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/coordinator"
	"github.com/millrace/millrace/broker/internal/metadata"
)

// shardedTopic runs a state machine on each partition of one of the broker's own topics, which is created when it is
// first needed. Safe for concurrent use.
type shardedTopic[M coordinator.Machine] struct {
	name       string // of the topic
	machine    func(partition int32, world coordinator.World) M
	create     func() (partitions int32, configs map[string]string) // what the topic is created with
	controller *controller
	partitions *registry
	logger     *slog.Logger

	loaded atomic.Pointer[shards[M]] // nil while there is no topic
	turn   chan struct{}             // holds a token while nobody loads shards or closes
	closed bool                      // owned by who has taken the token
}

// shards are the machines of one topic by partition; nil where one could not be loaded.
type shards[M coordinator.Machine] struct {
	topicID [16]byte
	all     []*coordinator.Shard[M]
}

func newShardedTopic[M coordinator.Machine](b *Broker, name string) *shardedTopic[M] {
	t := &shardedTopic[M]{
		name:       name,
		controller: b.controller,
		partitions: b.partitions,
		logger:     b.logger,
		turn:       make(chan struct{}, 1),
	}
	t.turn <- struct{}{}
	return t
}

// open loads all shards, if there is the topic. A partition that cannot be loaded costs its own shard and no other.
func (t *shardedTopic[M]) open(ctx context.Context) error {
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	if topic := t.controller.image().Topic(t.name); topic != nil {
		t.load(ctx, topic)
	}
	return ctx.Err()
}

// close ends all shards. What waits for an answer is told to look for the coordinator again.
func (t *shardedTopic[M]) close() {
	<-t.turn
	defer t.give()
	t.closed = true
	if s := t.loaded.Load(); s != nil {
		s.close()
	}
}

func (t *shardedTopic[M]) take(ctx context.Context) error {
	select {
	case <-t.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *shardedTopic[M]) give() { t.turn <- struct{}{} }

// ensure returns the shards, creating the topic if need be.
func (t *shardedTopic[M]) ensure(ctx context.Context) (*shards[M], error) {
	if s := t.loaded.Load(); s != nil {
		return s, nil
	}
	if err := t.take(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", kerr.CoordinatorLoadInProgress, err)
	}
	defer t.give()
	if s := t.loaded.Load(); s != nil {
		return s, nil
	}
	if t.closed {
		return nil, ErrClosed
	}
	partitions, configs := t.create()
	topic, err := t.controller.ensureTopic(ctx, t.name, partitions, configs, true)
	if err != nil {
		return nil, err
	}
	return t.load(context.WithoutCancel(ctx), topic), nil // new and empty: over at once, and not worth an error each if ctx ends
}

// load makes the shards of a topic.
func (t *shardedTopic[M]) load(ctx context.Context, topic *metadata.Topic) *shards[M] {
	s := &shards[M]{topicID: topic.ID, all: make([]*coordinator.Shard[M], topic.Partitions)}
	_ = forEach(len(s.all), func(i int) error {
		var err error
		if s.all[i], err = t.loadShard(ctx, int32(i)); err != nil {
			t.logger.Error("coordinator shard not loaded", "topic", t.name, "partition", i, "err", err)
		}
		return nil
	})
	t.loaded.Store(s)
	return s
}

func (t *shardedTopic[M]) loadShard(ctx context.Context, index int32) (*coordinator.Shard[M], error) {
	p := t.partitions.lookup(t.name, index)
	if p == nil {
		return nil, fmt.Errorf("load %s-%d: %w", t.name, index, kerr.UnknownTopicOrPartition)
	}
	return coordinator.Load(ctx, coordinator.Options[M]{
		Partition: p,
		Logger:    t.logger,
		New:       func(world coordinator.World) M { return t.machine(index, world) },
	})
}

// present returns the shards if their topic is in image. Someone may have deleted all state with its topic; that is
// created again when it is needed.
func (t *shardedTopic[M]) present(image *metadata.Image) *shards[M] {
	s := t.loaded.Load()
	if s == nil {
		return nil
	}
	if topic := image.Topic(t.name); topic == nil || topic.ID != s.topicID {
		t.loaded.CompareAndSwap(s, nil)
		s.close()
		return nil
	}
	return s
}

// loadWaitMax is how long a request waits for shards that somebody else loads.
const loadWaitMax = 5 * time.Second

// available is ensure whose errors wrap COORDINATOR_NOT_AVAILABLE, or COORDINATOR_LOAD_IN_PROGRESS after loadWaitMax.
func (t *shardedTopic[M]) available(ctx context.Context) (*shards[M], error) {
	ctx, cancel := context.WithTimeout(ctx, loadWaitMax)
	defer cancel()
	s, err := t.ensure(ctx)
	if err != nil && !errors.Is(err, kerr.CoordinatorLoadInProgress) {
		err = fmt.Errorf("%w: %w", kerr.CoordinatorNotAvailable, err)
	}
	return s, err
}

// shardOf returns the shard that key lives on, creating the topic if need be. Its errors are those of available.
func (t *shardedTopic[M]) shardOf(ctx context.Context, key string) (*coordinator.Shard[M], error) {
	s, err := t.available(ctx)
	if err != nil {
		return nil, err
	}
	shard := s.all[shardIndex(key, int32(len(s.all)))]
	if shard == nil {
		return nil, fmt.Errorf("%w: its shard could not be loaded", kerr.CoordinatorNotAvailable)
	}
	return shard, nil
}

// survey runs a read on every shard and gathers what they return. There is nothing to gather while there is no topic,
// nor on shards that could not be loaded or have failed: the others are worth to be seen.
func survey[A any, M coordinator.Machine](ctx context.Context, t *shardedTopic[M], read func(machine M) []A) ([]A, error) {
	s := t.loaded.Load()
	if s == nil {
		return nil, nil
	}
	parts := make([][]A, len(s.all))
	err := forEach(len(parts), func(i int) error {
		if s.all[i] == nil {
			return nil
		}
		part, err := s.all[i].Do(ctx, func(machine M, _ uint64) any { return read(machine) })
		switch {
		case err == nil:
			parts[i] = part.([]A)
		case errors.Is(err, coordinator.ErrFailed):
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("survey %s: %w: %w", t.name, kerr.CoordinatorNotAvailable, err)
	}
	return slices.Concat(parts...), nil
}

func (s *shards[M]) close() {
	for _, shard := range s.all {
		if shard != nil {
			shard.Close()
		}
	}
}

// shardIndex says in which of count partitions a group or a transactional id lives: as in Kafka by the hash that Java
// has for it, so that the files of one can be served by the other.
func shardIndex(key string, count int32) int32 {
	var hash int32
	for _, unit := range utf16.Encode([]rune(key)) {
		hash = 31*hash + int32(unit)
	}
	if hash == -1<<31 {
		return 0
	}
	return max(hash, -hash) % count
}
