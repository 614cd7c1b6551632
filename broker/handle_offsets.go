package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log"
)

// ListOffsets 1-11 (KIP-79, KIP-98 isolation, KIP-320 leader epochs, KIP-734 max timestamp, KIP-405 local and tiered
// offsets, KIP-1023 pending uploads) and OffsetForLeaderEpoch 2-4 (KIP-101, KIP-279, KIP-320).

// Timestamps that stand for a place in the log, and the versions of ListOffsets that know them.
const (
	timestampLatest        = -1
	timestampEarliest      = -2
	timestampMax           = -3 // 7
	timestampEarliestLocal = -4 // 8
	timestampLatestTiered  = -5 // 9
	timestampPendingUpload = -6 // 11
)

var timestampVersions = map[int64]int16{
	timestampLatest:        1,
	timestampEarliest:      1,
	timestampMax:           7,
	timestampEarliestLocal: 8,
	timestampLatestTiered:  9,
	timestampPendingUpload: 11,
}

// unknownOffset is told where there is no such record.
var unknownOffset = log.Found{Offset: -1, TimestampMs: -1, LeaderEpoch: -1}

// listOffsets finds offsets by time. Two queries for one partition contradict each other and are refused.
func (b *Broker) listOffsets(c *call, req *kmsg.ListOffsetsRequest) (*kmsg.ListOffsetsResponse, error) {
	response := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	isolation := partition.ReadUncommitted
	if req.IsolationLevel == readCommitted {
		isolation = partition.ReadCommitted
	}
	repeated := repeatedPartitions(req)
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewListOffsetsResponseTopic()
		out.Topic = in.Topic
		for j := range in.Partitions {
			query := &in.Partitions[j]
			found, err := unknownOffset, error(kerr.InvalidRequest)
			if !repeated[topicPartition{in.Topic, query.Partition}] {
				found, err = b.listOffset(c, in.Topic, query, isolation)
			}
			answer := kmsg.NewListOffsetsResponseTopicPartition()
			answer.Partition = query.Partition
			answer.ErrorCode = errorCode(err)
			answer.Offset, answer.Timestamp, answer.LeaderEpoch = found.Offset, found.TimestampMs, found.LeaderEpoch
			out.Partitions = append(out.Partitions, answer)
		}
		response.Topics = append(response.Topics, out)
	}
	return response, nil
}

type topicPartition struct {
	topic string
	index int32
}

// repeatedPartitions returns those that req asks about more than once.
func repeatedPartitions(req *kmsg.ListOffsetsRequest) map[topicPartition]bool {
	repeated := make(map[topicPartition]bool)
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			at := topicPartition{req.Topics[i].Topic, req.Topics[i].Partitions[j].Partition}
			_, seen := repeated[at]
			repeated[at] = seen
		}
	}
	return repeated
}

func (b *Broker) listOffset(c *call, topic string, query *kmsg.ListOffsetsRequestTopicPartition,
	isolation partition.Isolation) (log.Found, error) {
	if err := c.ctx.Err(); err != nil { // nobody is left to be told, and a look-up by time may read a segment
		return unknownOffset, err
	}
	p := b.partitions.lookup(topic, query.Partition)
	if p == nil {
		return unknownOffset, kerr.UnknownTopicOrPartition
	}
	if first, known := timestampVersions[query.Timestamp]; query.Timestamp < 0 && (!known || c.version < first) {
		return unknownOffset, fmt.Errorf("%w: timestamp %d in version %d", kerr.UnsupportedVersion, query.Timestamp, c.version)
	}
	if err := checkLeaderEpoch(query.CurrentLeaderEpoch, p.LeaderEpoch()); err != nil {
		return unknownOffset, err
	}
	found, err := p.Find(query.Timestamp, isolation)
	if err != nil {
		return unknownOffset, err
	}
	return found, nil
}

// offsetForLeaderEpoch tells where an epoch of a partition ends, so that a client finds out whether its position was
// cut off.
func (b *Broker) offsetForLeaderEpoch(_ *call, req *kmsg.OffsetForLeaderEpochRequest) (*kmsg.OffsetForLeaderEpochResponse, error) {
	response := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for i := range req.Topics {
		in := &req.Topics[i]
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = in.Topic
		for j := range in.Partitions {
			query := &in.Partitions[j]
			epoch, endOffset, err := b.epochEnd(in.Topic, query)
			answer := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			answer.Partition = query.Partition
			answer.ErrorCode = errorCode(err)
			answer.LeaderEpoch, answer.EndOffset = epoch, endOffset
			out.Partitions = append(out.Partitions, answer)
		}
		response.Topics = append(response.Topics, out)
	}
	return response, nil
}

func (b *Broker) epochEnd(topic string, query *kmsg.OffsetForLeaderEpochRequestTopicPartition) (epoch int32, endOffset int64, err error) {
	p := b.partitions.lookup(topic, query.Partition)
	if p == nil {
		return -1, -1, kerr.UnknownTopicOrPartition
	}
	if err := checkLeaderEpoch(query.CurrentLeaderEpoch, p.LeaderEpoch()); err != nil {
		return -1, -1, err
	}
	return p.EndOffsetForEpoch(query.LeaderEpoch)
}
