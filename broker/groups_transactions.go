package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/log/record"
)

// endTransaction ends a producer's transaction in a partition of __consumer_offsets, and returns when its offsets are
// committed for good, or gone. The shard writes the marker, so that they change in the order of the log.
//
// Errors: UNKNOWN_TOPIC_OR_PARTITION if there is no such partition and so nothing to end; COORDINATOR_NOT_AVAILABLE or
// NOT_COORDINATOR, at which it is worth to try again; those of partition.EndTransaction.
func (g *groupCoordinator) endTransaction(ctx context.Context, index int32, marker record.EndTxnMarker, newEpochOnly bool) error {
	if topic := g.controller.image().Topic(g.name); topic == nil || index < 0 || index >= topic.Partitions {
		return fmt.Errorf("end a transaction in %s-%d: %w", g.name, index, kerr.UnknownTopicOrPartition)
	}
	shards, err := g.ensure(ctx)
	if err != nil {
		return fmt.Errorf("end a transaction in %s-%d: %w: %w", g.name, index, kerr.CoordinatorNotAvailable, err)
	}
	if int(index) >= len(shards.all) || shards.all[index] == nil {
		return fmt.Errorf("end a transaction in %s-%d: %w: its shard could not be loaded", g.name, index, kerr.CoordinatorNotAvailable)
	}
	type ended struct{ err error }
	answer, err := shards.all[index].Do(ctx, func(s *group.State, _ uint64) any {
		return ended{s.EndTransaction(group.TransactionEnd{Marker: marker, NewEpochOnly: newEpochOnly})}
	})
	if err != nil {
		return fmt.Errorf("end a transaction in %s-%d: %w: %w", g.name, index, kerr.NotCoordinator, err)
	}
	return answer.(ended).err
}
