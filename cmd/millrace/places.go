package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/whence"
	"github.com/twmb/franz-go/pkg/kadm"
)

// findPartitions returns the partitions of topics in order, only those in wanted unless it is nil.
// It fails when one of them does not exist.
func findPartitions(ctx context.Context, client *kadm.Client, names []string, wanted []int32) ([]partitionKey, error) {
	topics, missing, err := findTopics(ctx, client, names)
	if err != nil {
		return nil, err
	}
	var keys []partitionKey
	for _, name := range names {
		if missing[name] != nil {
			return nil, missing[name]
		}
		count := len(topics[name].Partitions)
		for _, partition := range wanted {
			if int(partition) >= count {
				return nil, fmt.Errorf("topic %q has no partition %d, only 0 to %d", name, partition, count-1)
			}
		}
		for partition := range topics[name].Partitions {
			if wanted == nil || slices.Contains(wanted, partition) {
				keys = append(keys, partitionKey{name, partition})
			}
		}
	}
	slices.SortFunc(keys, partitionKey.compare)
	return keys, nil
}

func (a partitionKey) compare(b partitionKey) int {
	return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}

// places knows what a bound means in each partition of some topics.
type places struct {
	bound               whence.Bound
	starts, ends, times kadm.ListedOffsets
}

// listPlaces asks for what bound needs of topics.
func listPlaces(ctx context.Context, client *kadm.Client, bound whence.Bound, topics []string) (*places, error) {
	p := &places{bound: bound}
	var err error
	if p.starts, err = client.ListStartOffsets(ctx, topics...); err != nil {
		return nil, err
	}
	if p.ends, err = client.ListEndOffsets(ctx, topics...); err != nil {
		return nil, err
	}
	if ms, ok := bound.Time(); ok {
		p.times, err = client.ListOffsetsAfterMilli(ctx, ms, topics...)
	}
	return p, err
}

// at returns the offsets [first, next) that a partition holds, and the place that the bound is in it.
func (p *places) at(key partitionKey) (first, next, place int64, err error) {
	if first, err = listedOffset(key, p.starts); err != nil {
		return 0, 0, 0, err
	}
	if next, err = listedOffset(key, p.ends); err != nil {
		return 0, 0, 0, err
	}
	atTime := next
	if _, ok := p.bound.Time(); ok {
		if atTime, err = listedOffset(key, p.times); err != nil {
			return 0, 0, 0, err
		}
	}
	return first, next, p.bound.Resolve(first, next, atTime), nil
}
