package engine

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/consumer"
)

// bound is which offset of a partition is asked for.
type bound int

const (
	logStart  bound = iota
	logEnd          // with the records of open transactions
	stableEnd       // up to where a reader of committed records gets
)

func (b bound) timestamp() int64 {
	if b == logStart {
		return -2
	}
	return -1
}

// listOffsets asks the leaders of partitions for offsets.
func listOffsets(ctx context.Context, client *kgo.Client, b bound, partitions []consumer.TopicPartition) (map[consumer.TopicPartition]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	if b == stableEnd {
		request.IsolationLevel = 1
	}
	byTopic := map[string]int{}
	for _, p := range partitions {
		at, known := byTopic[p.Topic]
		if !known {
			at = len(request.Topics)
			byTopic[p.Topic] = at
			topic := kmsg.NewListOffsetsRequestTopic()
			topic.Topic = p.Topic
			request.Topics = append(request.Topics, topic)
		}
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = p.Partition, b.timestamp()
		request.Topics[at].Partitions = append(request.Topics[at].Partitions, partition)
	}
	offsets := map[consumer.TopicPartition]int64{}
	if len(partitions) == 0 {
		return offsets, nil
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	for _, topic := range response.Topics {
		for _, p := range topic.Partitions {
			name := consumer.TopicPartition{Topic: topic.Topic, Partition: p.Partition}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("list offsets of %v: %w", name, err)
			}
			offsets[name] = p.Offset
		}
	}
	for _, p := range partitions {
		if _, answered := offsets[p]; !answered {
			return nil, fmt.Errorf("list offsets of %v: %w", p, kerr.UnknownTopicOrPartition)
		}
	}
	return offsets, nil
}
