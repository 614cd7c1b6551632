package group

// Summary is what metrics tell of a group.
type Summary struct {
	Group      string
	Phase      Phase
	Members    int
	Rebalances [Reasons]uint64 // started since the broker did, by Reason
	Commits    uint64          // offsets committed since then
	Offsets    []CommittedOffset
}

// CommittedOffset is where a group stands in one partition.
type CommittedOffset struct {
	TopicPartition
	Offset int64
}

// Summaries returns all groups, and what each has committed, in no order: whoever scrapes thousands of groups sorts
// elsewhere, while this goroutine serves them.
func (s *State) Summaries() []Summary {
	summaries := make([]Summary, 0, len(s.groups))
	for _, g := range s.groups {
		summary := Summary{Group: g.id, Phase: g.phase, Members: len(g.members), Rebalances: g.rebalances, Commits: g.commits}
		for topic, partitions := range g.offsets {
			for partition, o := range partitions {
				summary.Offsets = append(summary.Offsets, CommittedOffset{TopicPartition{topic, partition}, o.Offset.Offset})
			}
		}
		summaries = append(summaries, summary)
	}
	return summaries
}
