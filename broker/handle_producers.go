package broker

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/log"
)

// DescribeProducers 0 (KIP-664).

// describeProducers answers which idempotent producers partitions remember, about each partition once.
func (b *Broker) describeProducers(c *call, req *kmsg.DescribeProducersRequest) (*kmsg.DescribeProducersResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	seen := map[topicPartition]bool{}
	for _, t := range req.Topics {
		topic := kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = t.Topic
		for _, index := range t.Partitions {
			if seen[topicPartition{t.Topic, index}] {
				continue
			}
			seen[topicPartition{t.Topic, index}] = true
			producers, err := b.producersOf(t.Topic, index)
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = index, errorCode(err), errorMessage(err)
			for _, producer := range producers {
				p.ActiveProducers = append(p.ActiveProducers, activeProducer(producer))
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

func (b *Broker) producersOf(topic string, index int32) ([]log.Producer, error) {
	p := b.partitions.lookup(topic, index)
	if p == nil {
		return nil, fmt.Errorf("%w: no partition %s-%d", metadata.ErrUnknownTopic, topic, index)
	}
	producers, err := p.Producers()
	slices.SortFunc(producers, func(a, b log.Producer) int { return cmp.Compare(a.ID, b.ID) })
	return producers, err
}

// activeProducer is a producer as tools see it: -1 is no sequence, no coordinator so far, no open transaction.
func activeProducer(producer log.Producer) kmsg.DescribeProducersResponseTopicPartitionActiveProducer {
	active := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
	active.ProducerID, active.ProducerEpoch = producer.ID, int32(producer.Epoch)
	active.LastSequence, active.LastTimestamp = producer.LastSequence, producer.LastTimestampMs
	active.CoordinatorEpoch, active.CurrentTxnStartOffset = producer.CoordinatorEpoch, producer.TxnStartOffset
	return active
}
