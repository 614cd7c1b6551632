package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/coordinator"
	"github.com/millrace/millrace/broker/internal/group"
)

// survey runs a read on every shard and gathers what they return. There is nothing to gather while there is no
// __consumer_offsets, nor on shards that could not be loaded or have failed: the others are worth to be seen.
func survey[A any](ctx context.Context, g *groupCoordinator, read func(s *group.State) []A) ([]A, error) {
	shards := g.shards.Load()
	if shards == nil {
		return nil, nil
	}
	parts := make([][]A, len(shards.shards))
	err := forEach(len(parts), func(i int) error {
		if shards.shards[i] == nil {
			return nil
		}
		part, err := shards.shards[i].Do(ctx, func(s *group.State, _ uint64) any { return read(s) })
		switch {
		case err == nil:
			parts[i] = part.([]A)
		case errors.Is(err, coordinator.ErrFailed):
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("survey groups: %w: %w", kerr.CoordinatorNotAvailable, err)
	}
	return slices.Concat(parts...), nil
}

// list returns the groups in those phases, or all, sorted by id.
func (g *groupCoordinator) list(ctx context.Context, phases []string) ([]group.Listing, error) {
	list, err := survey(ctx, g, func(s *group.State) []group.Listing { return s.List(phases) })
	slices.SortFunc(list, func(a, b group.Listing) int { return cmp.Compare(a.Group, b.Group) })
	return list, err
}

// groupLag says how far a group is behind in one partition.
type groupLag struct {
	group         string
	topic         string
	partition     int32
	committed     int64
	highWatermark int64
}

// offsets is how many offsets lie between what was committed and the high watermark.
func (l groupLag) offsets() int64 { return max(l.highWatermark-l.committed, 0) }

// lags returns how far all groups are behind, by group, topic and partition. Partitions that are not open are left
// out.
func (g *groupCoordinator) lags(ctx context.Context) ([]groupLag, error) {
	lags, err := survey(ctx, g, func(s *group.State) []groupLag {
		var lags []groupLag
		for _, listed := range s.List(nil) {
			for _, p := range s.Committed(listed.Group) {
				o, _ := s.Offset(listed.Group, p)
				lags = append(lags, groupLag{group: listed.Group, topic: p.Topic, partition: p.Partition, committed: o.Offset})
			}
		}
		return lags
	})
	if err != nil {
		return nil, err
	}
	open := lags[:0]
	for _, l := range lags {
		if p := g.partitions.lookup(l.topic, l.partition); p != nil {
			l.highWatermark = p.Offsets().HighWatermark
			open = append(open, l)
		}
	}
	slices.SortFunc(open, func(a, b groupLag) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return open, nil
}
