package broker

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
)

// DescribeTopicPartitions 0 (KIP-966): topics a page at a time, sorted by name.

// describedPartitionsMax bounds the partitions of one page, whatever a client asks for (Kafka's default of
// max.request.partition.size.limit).
const describedPartitionsMax = 2000

// describeTopicPartitions describes topics from the cursor on until the page is full, and says where the next begins.
func (b *Broker) describeTopicPartitions(c *call, req *kmsg.DescribeTopicPartitionsRequest) (*kmsg.DescribeTopicPartitionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	image := b.controller.image()
	names := pageTopics(image, req)
	if req.Cursor != nil && req.Cursor.Partition < 0 {
		for _, name := range names {
			resp.Topics = append(resp.Topics, refusedTopic(name, kerr.InvalidRequest))
		}
		return resp, nil
	}
	room := min(max(req.ResponsePartitionLimit, 1), describedPartitionsMax)
	for _, name := range names {
		from := int32(0)
		if req.Cursor != nil && req.Cursor.Topic == name {
			from = req.Cursor.Partition
		}
		if room == 0 {
			resp.NextCursor = nextPage(name, from)
			break
		}
		t := image.Topic(name)
		if t == nil {
			resp.Topics = append(resp.Topics, refusedTopic(name, unknownTopic(name)))
			continue
		}
		from = min(from, t.Partitions)
		to := from + min(room, t.Partitions-from)
		resp.Topics = append(resp.Topics, b.topicPage(image, t, from, to))
		room -= to - from
		if to < t.Partitions {
			resp.NextCursor = nextPage(name, to)
			break
		}
	}
	return resp, nil
}

// pageTopics are the topics that req asks about from its cursor on, sorted, each once: all for an empty list.
func pageTopics(image *metadata.Image, req *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(names) == 0 {
		for _, t := range image.Topics() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor == nil {
		return names
	}
	from, _ := slices.BinarySearch(names, req.Cursor.Topic)
	return names[from:]
}

func nextPage(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	cursor := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	cursor.Topic, cursor.Partition = topic, partition
	return &cursor
}

// unknownTopic says why there is no topic of that name.
func unknownTopic(name string) error {
	if err := metadata.CheckTopicName(name); err != nil {
		return err
	}
	return fmt.Errorf("%w: %q", metadata.ErrUnknownTopic, name)
}

func refusedTopic(name string, err error) kmsg.DescribeTopicPartitionsResponseTopic {
	topic := kmsg.NewDescribeTopicPartitionsResponseTopic()
	topic.Topic, topic.ErrorCode = &name, errorCode(err)
	return topic
}

// topicPage describes the partitions [from, to) of a topic.
func (b *Broker) topicPage(image *metadata.Image, t *metadata.Topic, from, to int32) kmsg.DescribeTopicPartitionsResponseTopic {
	topic := kmsg.NewDescribeTopicPartitionsResponseTopic()
	topic.Topic, topic.TopicID, topic.IsInternal = &t.Name, t.ID, t.Internal
	topic.AuthorizedOperations = topicOperations
	node := []int32{image.NodeID()}
	for index := from; index < to; index++ {
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch = index, image.NodeID(), image.LeaderEpoch()
		p.Replicas, p.ISR = node, node
		// Not null, which the command line of Kafka takes for a broker that does not know of eligible leaders.
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{}
		if open := b.partitions.lookup(t.Name, index); open == nil || open.Err() != nil {
			p.OfflineReplicas = node
		}
		topic.Partitions = append(topic.Partitions, p)
	}
	return topic
}
