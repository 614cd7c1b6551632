package broker

import (
	"cmp"
	"context"
	"slices"

	"github.com/millrace/millrace/broker/internal/group"
)

// list returns the groups in those phases, or all, sorted by id.
func (g *groupCoordinator) list(ctx context.Context, phases []string) ([]group.Listing, error) {
	list, err := survey(ctx, g.shardedTopic, func(s *group.State) []group.Listing { return s.List(phases) })
	slices.SortFunc(list, func(a, b group.Listing) int { return cmp.Compare(a.Group, b.Group) })
	return list, err
}

// summaries returns all groups and what they have committed, both sorted.
func (g *groupCoordinator) summaries(ctx context.Context) ([]group.Summary, error) {
	summaries, err := survey(ctx, g.shardedTopic, (*group.State).Summaries)
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
