package engine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/streams/internal/balance"
	"github.com/millrace/millrace/streams/internal/graph"
)

// BalancerName is the name of the protocol by which members agree on who runs which task.
const BalancerName = "millrace-streams"

// metadataVersion is the version of Kafka's consumer protocol in which members describe themselves: the first that has the
// generation of what they own.
const metadataVersion = 2

// Balancer distributes the tasks of an application over the members of its group (kgo.GroupBalancer). It is cooperative: a task
// moves after its owner has given it up. See package balance for the rules.
type Balancer struct {
	process  string
	variants []balance.Variant
	stored   func() map[balance.Task]int64
}

// NewBalancer returns the balancer of a member. stored tells of which tasks the process has state on its disk: the sum of the
// changelog offsets that are in it. It is called at each join.
func NewBalancer(app, process string, topology *graph.Topology, stored func() map[balance.Task]int64) *Balancer {
	b := &Balancer{process: process, stored: stored}
	for _, s := range topology.Subtopologies() {
		v := balance.Variant{Name: s.Name, Hash: s.Hash()}
		for _, topic := range s.Sources {
			v.Sources = append(v.Sources, topology.KafkaTopic(app, topic))
		}
		b.variants = append(b.variants, v)
	}
	return b
}

// ProtocolName is BalancerName.
func (b *Balancer) ProtocolName() string { return BalancerName }

// IsCooperative reports that it is.
func (b *Balancer) IsCooperative() bool { return true }

// JoinGroupMetadata returns what this member tells of itself.
func (b *Balancer) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Version = metadataVersion
	metadata.Topics = topics
	metadata.Generation = generation
	for _, topic := range slices.Sorted(maps.Keys(owned)) {
		part := kmsg.NewConsumerMemberMetadataOwnedPartition()
		part.Topic, part.Partitions = topic, owned[topic]
		metadata.OwnedPartitions = append(metadata.OwnedPartitions, part)
	}
	metadata.UserData = memberData{Process: b.process, Variants: b.variants, Stored: b.stored()}.encode()
	return metadata.AppendTo(nil)
}

// ParseSyncAssignment returns what this member was assigned, in Kafka's own format.
func (b *Balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

// MemberBalancer returns what the leader of the group balances its members with.
func (b *Balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	balancer, err := kgo.NewConsumerBalancer(b, members)
	return balancer, balancer.MemberTopics(), err
}

// Balance makes the plan of one rebalance (kgo.ConsumerBalancerBalance).
func (b *Balancer) Balance(group *kgo.ConsumerBalancer, partitions map[string]int32) kgo.IntoSyncAssignment {
	var members []balance.Member
	group.EachMember(func(member *kmsg.JoinGroupResponseMember, metadata *kmsg.ConsumerMemberMetadata) {
		members = append(members, b.member(member.MemberID, metadata))
	})
	assigned := balance.Cooperate(balance.Assign(members, partitions), members, partitions)
	plan := group.NewPlan()
	group.EachMember(func(member *kmsg.JoinGroupResponseMember, _ *kmsg.ConsumerMemberMetadata) {
		for _, input := range assigned[member.MemberID] {
			plan.AddPartition(member, input.Topic, input.Partition)
		}
	})
	return plan
}

// member returns a member as it describes itself. One whose description is of no use counts as one that runs what this member
// does, as far as it reads those topics, and has no state.
func (b *Balancer) member(id string, metadata *kmsg.ConsumerMemberMetadata) balance.Member {
	m := balance.Member{ID: id}
	for _, owned := range metadata.OwnedPartitions {
		for _, partition := range owned.Partitions {
			m.Owned = append(m.Owned, balance.Input{Topic: owned.Topic, Partition: partition})
		}
	}
	known := b.variants
	if data, ok := decodeMemberData(metadata.UserData); ok {
		known, m.Stored = data.Variants, data.Stored
	}
	for _, v := range known {
		if subscribes(metadata.Topics, v.Sources) {
			m.Variants = append(m.Variants, v)
		}
	}
	slices.SortFunc(m.Owned, func(a, b balance.Input) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return m
}

// subscribes reports whether all topics are among those of a member: a partition of another one would be nothing to it.
func subscribes(to, topics []string) bool {
	return !slices.ContainsFunc(topics, func(topic string) bool { return !slices.Contains(to, topic) })
}
