package broker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/coordinator"
	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log/record"
)

// groupCoordinator runs the groups of consumers: one shard for each partition of __consumer_offsets. Safe for concurrent
// use.
type groupCoordinator struct {
	*shardedTopic[*group.State]
	settings *config.Broker
}

func newGroupCoordinator(b *Broker) *groupCoordinator {
	g := &groupCoordinator{shardedTopic: newShardedTopic[*group.State](b, metadata.OffsetsTopic), settings: b.config}
	g.create, g.machine = g.topicOptions, g.newState
	b.controller.topicsDeleted = g.topicsDeleted
	return g
}

// open loads all groups.
func (g *groupCoordinator) open(ctx context.Context) error {
	if err := g.shardedTopic.open(ctx); err != nil {
		return err
	}
	// A crash may have come between the deletion of a topic and that of its offsets.
	g.topicsDeleted(ctx, g.controller.image())
	return ctx.Err()
}

// topicOptions are what __consumer_offsets is created with.
func (g *groupCoordinator) topicOptions() (partitions int32, configs map[string]string) {
	return g.settings.OffsetsTopicNumPartitions, map[string]string{
		"cleanup.policy":   "compact",
		"compression.type": "producer",
		"segment.bytes":    strconv.Itoa(int(g.settings.OffsetsTopicSegmentBytes)),
	}
}

func (g *groupCoordinator) newState(_ int32, world coordinator.World) *group.State {
	return group.New(groupConfig(g.settings), group.Environment{
		Append: world.Append,
		AppendTransactional: func(by group.Producer, wallMs int64, records []record.Record) error {
			verified, _ := by.Verified.(*partition.Verification)
			return world.AppendTransactional(
				coordinator.Transaction{ProducerID: by.ID, ProducerEpoch: by.Epoch, Verified: verified}, wallMs, records)
		},
		AppendMarker: func(end group.TransactionEnd) error { return world.AppendMarker(end.Marker, end.NewEpochOnly) },
		Reply:        func(to group.Ticket, answer any) { world.Reply(uint64(to), answer) },
	}, g.logger)
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

// topicsDeleted makes the groups forget what they have committed for topics that are not in image. It returns when
// that is on disk, or has failed; the next start tries again then.
func (g *groupCoordinator) topicsDeleted(ctx context.Context, image *metadata.Image) {
	shards := g.present(image)
	if shards == nil {
		return
	}
	exists := func(topic string) bool { return image.Topic(topic) != nil }
	_ = forEach(len(shards.all), func(i int) error {
		if shards.all[i] == nil {
			return nil
		}
		_, err := shards.all[i].Do(ctx, func(s *group.State, _ uint64) any {
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
	shard, err := g.shardOf(ctx, groupID)
	if err != nil {
		return none, fmt.Errorf("group %q: %w", groupID, err)
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
