package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// groupOptions make the client a member of the plan's group. Nothing is committed but what mark
// was given; partitions go away only between two polls, and after a commit.
func (r *reading) groupOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.ConsumerGroup(r.plan.group),
		kgo.ConsumeTopics(r.plan.topics...),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(commitEvery),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			r.cursor.assign(partitions)
		}),
		kgo.AdjustFetchOffsetsFn(func(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return r.cursor.startAt(offsets), nil
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			// A failure means at worst that the next owner prints records again.
			_ = client.CommitMarkedOffsets(ctx)
			r.cursor.revoke(partitions)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			r.cursor.revoke(partitions)
		}),
	}
}

// mark lets what was printed be committed.
func (r *reading) mark() {
	r.client.MarkCommitRecords(r.done...)
	clear(r.done)
	r.done = r.done[:0]
}

// leave commits what was printed and leaves the group, so that its partitions move on at once.
func (r *reading) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveMax)
	defer cancel()
	r.client.AllowRebalance()
	if err := r.client.CommitMarkedOffsets(ctx); err != nil {
		return fmt.Errorf("commit the last offsets of group %q: %w", r.plan.group, brokerError(err, ""))
	}
	if err := r.client.LeaveGroupContext(ctx); err != nil {
		return fmt.Errorf("leave group %q: %w", r.plan.group, brokerError(err, ""))
	}
	return nil
}
