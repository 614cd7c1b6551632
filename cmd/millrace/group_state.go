package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/twmb/franz-go/pkg/kadm"
)

// groupState is a group before its offsets change.
type groupState struct {
	cluster string
	group   string
	exists  bool
	members []kadm.DescribedGroupMember
	offsets map[partitionKey]kadm.Offset
}

func loadGroup(ctx context.Context, client *kadm.Client, group string) (*groupState, error) {
	metadata, err := client.BrokerMetadata(ctx)
	if err != nil {
		return nil, err
	}
	state := &groupState{cluster: metadata.Cluster, group: group, offsets: map[partitionKey]kadm.Offset{}}
	if state.exists, err = groupExists(ctx, client, group); err != nil || !state.exists {
		return state, err
	}
	described, err := client.DescribeGroups(ctx, group)
	if err != nil {
		return nil, err
	}
	if err := described[group].Err; err != nil {
		return nil, fmt.Errorf("group %q: %w", group, brokerError(err, described[group].ErrMessage))
	}
	state.members = described[group].Members
	fetched, err := client.FetchOffsets(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("offsets of group %q: %w", group, brokerError(err, ""))
	}
	var failed error
	fetched.Each(func(o kadm.OffsetResponse) {
		switch {
		case o.Err != nil:
			failed = fmt.Errorf("offset of group %q in topic %q partition %d: %w", group, o.Topic, o.Partition, brokerError(o.Err, ""))
		case o.At >= 0:
			state.offsets[partitionKey{o.Topic, o.Partition}] = o.Offset
		}
	})
	return state, failed
}

// membersNamed bounds how many members an error names.
const membersNamed = 5

// idle returns an error that names the members of the group if it has any: they would not notice that
// their offsets changed, and commit over them.
func (s *groupState) idle() error {
	if len(s.members) == 0 {
		return nil
	}
	var names []string
	for _, member := range s.members[:min(membersNamed, len(s.members))] {
		names = append(names, fmt.Sprintf("%s at %s", member.MemberID, strings.TrimPrefix(member.ClientHost, "/")))
	}
	if rest := len(s.members) - len(names); rest > 0 {
		names = append(names, fmt.Sprintf("and %d more", rest))
	}
	return fmt.Errorf("group %q is active, stop its %s first: %s", s.group, plural(len(s.members), "member"), strings.Join(names, ", "))
}

// snapshot returns the offsets of the partitions as a file holds them, with null where there is none.
func (s *groupState) snapshot(keys []partitionKey, now time.Time) *groupOffsets {
	g := &groupOffsets{
		File: offsetsFile, FileVersion: offsetsFileVersion, ClusterID: s.cluster, Group: s.group, Time: now.UTC(), Offsets: []groupOffset{},
	}
	for _, key := range keys {
		o := groupOffset{Topic: key.topic, Partition: key.partition, LeaderEpoch: -1}
		if committed, ok := s.offsets[key]; ok {
			o.Offset, o.LeaderEpoch, o.Metadata = &committed.At, committed.LeaderEpoch, committed.Metadata
		}
		g.Offsets = append(g.Offsets, o)
	}
	return g
}

// fits refuses offsets of another cluster, whose numbers mean other records here.
func (g *groupOffsets) fits(cluster, name string, force bool) error {
	if g.ClusterID == cluster || force {
		return nil
	}
	return usage.Errorf("%s is from cluster %s and this is %s; --force takes it all the same", name, g.ClusterID, cluster)
}
