package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteRecords 0-2 (KIP-107).

// deleteRecords moves the log starts of partitions forward. What was deleted stays deleted after a crash once it is
// answered. The client's timeout bounds the wait for followers, of which there are none: clients send 0.
func (b *Broker) deleteRecords(c *call, req *kmsg.DeleteRecordsRequest) (*kmsg.DeleteRecordsResponse, error) {
	response := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = in.Topic
		for j := range in.Partitions {
			answer := kmsg.NewDeleteRecordsResponseTopicPartition()
			answer.Partition = in.Partitions[j].Partition
			low, err := b.deleteBefore(c.ctx, in.Topic, answer.Partition, in.Partitions[j].Offset)
			answer.LowWatermark, answer.ErrorCode = low, errorCode(err)
			out.Partitions = append(out.Partitions, answer)
		}
		response.Topics = append(response.Topics, out)
	}
	return response, nil
}

// noLowWatermark is told with an error.
const noLowWatermark = -1

func (b *Broker) deleteBefore(ctx context.Context, topic string, index int32, offset int64) (low int64, err error) {
	p := b.partitions.lookup(topic, index)
	if p == nil {
		return noLowWatermark, kerr.UnknownTopicOrPartition
	}
	if isInternalTopic(topic) {
		return noLowWatermark, errInternalTopic
	}
	return p.DeleteRecords(ctx, offset)
}
