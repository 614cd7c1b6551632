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

// summaries returns all groups and what they have committed, both sorted.
func (g *groupCoordinator) summaries(ctx context.Context) ([]group.Summary, error) {
	summaries, err := survey(ctx, g, (*group.State).Summaries)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(summaries, func(a, b group.Summary) int { return cmp.Compare(a.Group, b.Group) })
	for i := range summaries {
		slices.SortFunc(summaries[i].Offsets, func(a, b group.CommittedOffset) int {
			return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
	}
	return summaries, nil
}
