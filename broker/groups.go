package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/coordinator"
	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/metadata"
)

// groupCoordinator runs the groups of consumers: one shard for each partition of __consumer_offsets, which is created
// when it is first needed. Safe for concurrent use.
type groupCoordinator struct {
	settings   *config.Broker
	controller *controller
	partitions *registry
	logger     *slog.Logger

	shards atomic.Pointer[groupShards] // nil while there is no __consumer_offsets
	turn   chan struct{}               // holds a token while nobody loads shards or closes
	closed bool                        // owned by who has taken the token
}

// groupShard is the groups of one partition of __consumer_offsets.
type groupShard = coordinator.Shard[*group.State]

// groupShards are the shards of one __consumer_offsets by partition; nil where one could not be loaded.
type groupShards struct {
	topicID [16]byte
	shards  []*groupShard
}

func newGroupCoordinator(b *Broker) *groupCoordinator {
	g := &groupCoordinator{
		settings:   b.config,
		controller: b.controller,
		partitions: b.partitions,
		logger:     b.logger,
		turn:       make(chan struct{}, 1),
	}
	g.turn <- struct{}{}
	b.controller.topicsDeleted = g.topicsDeleted
	return g
}

// open loads all groups. A partition that cannot be loaded leaves its groups without a coordinator and no other.
func (g *groupCoordinator) open(ctx context.Context) error {
	if err := g.take(ctx); err != nil {
		return err
	}
	defer g.give()
	image := g.controller.image()
	if t := image.Topic(metadata.OffsetsTopic); t != nil {
		g.load(ctx, t)
		// A crash may have come between the deletion of a topic and that of its offsets.
		g.topicsDeleted(ctx, image)
	}
	return ctx.Err()
}

// close ends all shards. What waits for an answer is told to look for the coordinator again.
func (g *groupCoordinator) close() {
	<-g.turn
	defer g.give()
	g.closed = true
	if shards := g.shards.Load(); shards != nil {
		shards.close()
	}
}

func (g *groupCoordinator) take(ctx context.Context) error {
	select {
	case <-g.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *groupCoordinator) give() { g.turn <- struct{}{} }

// ensure returns the shards, creating __consumer_offsets if need be.
func (g *groupCoordinator) ensure(ctx context.Context) (*groupShards, error) {
	if shards := g.shards.Load(); shards != nil {
		return shards, nil
	}
	if err := g.take(ctx); err != nil {
		return nil, err
	}
	defer g.give()
	if shards := g.shards.Load(); shards != nil {
		return shards, nil
	}
	if g.closed {
		return nil, ErrClosed
	}
	t, err := g.controller.ensureTopic(ctx, metadata.OffsetsTopic, g.settings.OffsetsTopicNumPartitions, g.topicConfigs(), true)
	if err != nil {
		return nil, err
	}
	return g.load(context.WithoutCancel(ctx), t), nil // new and empty: over at once, and not worth an error each if ctx ends
}

// topicConfigs are the settings that __consumer_offsets is created with.
func (g *groupCoordinator) topicConfigs() map[string]string {
	return map[string]string{
		"cleanup.policy":   "compact",
		"compression.type": "producer",
		"segment.bytes":    strconv.Itoa(int(g.settings.OffsetsTopicSegmentBytes)),
	}
}

// load makes the shards of a __consumer_offsets.
func (g *groupCoordinator) load(ctx context.Context, t *metadata.Topic) *groupShards {
	shards := &groupShards{topicID: t.ID, shards: make([]*groupShard, t.Partitions)}
	_ = forEach(len(shards.shards), func(i int) error {
		var err error
		if shards.shards[i], err = g.loadShard(ctx, t, int32(i)); err != nil {
			g.logger.Error("groups not loaded", "partition", i, "err", err)
		}
		return nil
	})
	g.shards.Store(shards)
	return shards
}

func (g *groupCoordinator) loadShard(ctx context.Context, t *metadata.Topic, index int32) (*groupShard, error) {
	p := g.partitions.lookup(t.Name, index)
	if p == nil {
		return nil, fmt.Errorf("load %s-%d: %w", t.Name, index, kerr.UnknownTopicOrPartition)
	}
	return coordinator.Load(ctx, coordinator.Options[*group.State]{
		Partition: p,
		Logger:    g.logger,
		New: func(world coordinator.World) *group.State {
			return group.New(groupConfig(g.settings), group.Environment{
				Append: world.Append,
				Reply:  func(to group.Ticket, answer any) { world.Reply(uint64(to), answer) },
			}, g.logger)
		},
	})
}

func groupConfig(b *config.Broker) group.Config {
	return group.Config{
		MinSessionTimeoutMs:     b.GroupMinSessionTimeoutMs,
		MaxSessionTimeoutMs:     b.GroupMaxSessionTimeoutMs,
		MaxSize:                 b.GroupMaxSize,
		InitialRebalanceDelayMs: b.GroupInitialRebalanceDelayMs,
		OffsetMetadataMaxBytes:  b.OffsetMetadataMaxBytes,
		OffsetsRetentionMs:      int64(b.OffsetsRetentionMinutes) * 60_000,
		OffsetsCheckIntervalMs:  b.OffsetsRetentionCheckIntervalMs,
	}
}

func (s *groupShards) close() {
	for _, shard := range s.shards {
		if shard != nil {
			shard.Close()
		}
	}
}

// of returns the shard that a group lives on, nil if it could not be loaded.
func (s *groupShards) of(groupID string) *groupShard {
	return s.shards[offsetsPartition(groupID, int32(len(s.shards)))]
}

// offsetsPartition says in which of count partitions of __consumer_offsets a group lives: as in Kafka by the hash
// that Java has for the id, so that the files of one can be served by the other.
func offsetsPartition(groupID string, count int32) int32 {
	var hash int32
	for _, unit := range utf16.Encode([]rune(groupID)) {
		hash = 31*hash + int32(unit)
	}
	if hash == -1<<31 {
		return 0
	}
	return max(hash, -hash) % count
}

// topicsDeleted makes the groups forget what they have committed for topics that are not in image. It returns when
// that is on disk, or has failed; the next start tries again then.
func (g *groupCoordinator) topicsDeleted(ctx context.Context, image *metadata.Image) {
	shards := g.shards.Load()
	if shards == nil {
		return
	}
	if t := image.Topic(metadata.OffsetsTopic); t == nil || t.ID != shards.topicID {
		// Someone has deleted all groups with their topic; it will be created again when it is needed.
		g.shards.CompareAndSwap(shards, nil)
		shards.close()
		return
	}
	exists := func(topic string) bool { return image.Topic(topic) != nil }
	_ = forEach(len(shards.shards), func(i int) error {
		if shards.shards[i] == nil {
			return nil
		}
		_, err := shards.shards[i].Do(ctx, func(s *group.State, _ uint64) any {
			s.TopicDeleted(exists)
			return true
		})
		if err != nil {
			g.logger.Warn("offsets of deleted topics remain", "partition", i, "err", err)
		}
		return nil
	})
}

// groupOperation runs in the goroutine of a group's shard, and may still do so after the request has ended: it must
// own what it uses. It returns the answer, or nil if the state will reply to the ticket.
type groupOperation func(s *group.State, to group.Ticket) any

// askGroup runs an operation on the shard of a group and returns its answer, which is committed. The error wraps
// COORDINATOR_NOT_AVAILABLE or NOT_COORDINATOR, at which clients look for the coordinator and try again.
func askGroup[A any](ctx context.Context, g *groupCoordinator, groupID string, operation groupOperation) (A, error) {
	var none A
	shards, err := g.ensure(ctx)
	if err != nil {
		return none, fmt.Errorf("group %q: %w: %w", groupID, kerr.CoordinatorNotAvailable, err)
	}
	shard := shards.of(groupID)
	if shard == nil {
		return none, fmt.Errorf("group %q: %w: its shard could not be loaded", groupID, kerr.CoordinatorNotAvailable)
	}
	answer, err := shard.Do(ctx, func(s *group.State, ticket uint64) any { return operation(s, group.Ticket(ticket)) })
	if err != nil {
		return none, fmt.Errorf("group %q: %w: %w", groupID, kerr.NotCoordinator, err)
	}
	return answer.(A), nil
}

// askGroupNow is askGroup for an operation that is answered at once: it waits for a commit at most
// offsets.commit.timeout.ms. A broker that stops does not cut it short: what was committed is answered.
func askGroupNow[A any](ctx context.Context, g *groupCoordinator, groupID string, operation func(s *group.State) A) (A, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(g.settings.OffsetsCommitTimeoutMs)*time.Millisecond)
	defer cancel()
	return askGroup[A](ctx, g, groupID, func(s *group.State, _ group.Ticket) any { return operation(s) })
}
