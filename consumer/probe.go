package consumer

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// probeBytes is how much of a partition one probe looks at.
const probeBytes = 1 << 20

// probe looks for itself what lies between a position and the end of its span. The client says where it is only with a record:
// behind the last one, compaction may have left batches without any, and the end would never be reached.
func (r *Reader) probe(ctx context.Context) error {
	for name, p := range r.positions {
		if p.to < 0 || p.ended {
			continue
		}
		next, err := r.skip(ctx, name, p.at)
		if err != nil && !isTransient(err) {
			return fmt.Errorf("look for the end of %v: %w", name, err)
		}
		if next > p.at {
			r.move(p, Portion{TopicPartition: name, Next: next})
		}
	}
	return nil
}

// skip returns the offset behind what nobody sees from an offset on. What can be seen, the client brings.
func (r *Reader) skip(ctx context.Context, name TopicPartition, from int64) (int64, error) {
	leader, _, err := r.client.PartitionLeader(name.Topic, name.Partition)
	if err != nil || leader < 0 {
		return from, nil // the client looks for it already
	}
	request, err := r.fetchRequest(ctx, name, from)
	if err != nil {
		return from, err
	}
	answer, err := r.client.Broker(int(leader)).RetriableRequest(ctx, request)
	if err != nil {
		return from, err
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return from, err
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		return from, nil
	}
	isolation := kgo.ReadCommitted()
	if r.options.Uncommitted {
		isolation = kgo.ReadUncommitted()
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: from, IsolationLevel: isolation, Topic: name.Topic, Partition: name.Partition,
	}, &response.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil || len(fetched.Records) > 0 {
		return from, nil // the client meets it as well
	}
	return next, nil
}

func (r *Reader) fetchRequest(ctx context.Context, name TopicPartition, from int64) (*kmsg.FetchRequest, error) {
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(name.Topic)}}
	known, err := metadata.RequestWith(ctx, r.client)
	if err != nil {
		return nil, err
	}
	if len(known.Topics) != 1 {
		return nil, kerr.UnknownTopicOrPartition
	}
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = name.Partition, from, probeBytes
	partition.LogStartOffset = -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = name.Topic, known.Topics[0].TopicID
	topic.Partitions = []kmsg.FetchRequestTopicPartition{partition}
	request := kmsg.NewPtrFetchRequest()
	request.MaxBytes, request.SessionEpoch = probeBytes, -1
	if !r.options.Uncommitted {
		request.IsolationLevel = 1
	}
	request.Topics = []kmsg.FetchRequestTopic{topic}
	return request, nil
}
