package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
)

// DescribeQuorum 0-2 (KIP-595, KIP-836, KIP-853) and UnregisterBroker 0 (KIP-500): the metadata log as a quorum of one.

// describeQuorum answers who votes about the metadata log: this broker alone, which leads it.
func (b *Broker) describeQuorum(c *call, req *kmsg.DescribeQuorumRequest) (*kmsg.DescribeQuorumResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
	image := b.controller.image()
	seen := map[topicPartition]bool{}
	for _, t := range req.Topics {
		topic := kmsg.NewDescribeQuorumResponseTopic()
		topic.Topic = t.Topic
		for _, wanted := range t.Partitions {
			if seen[topicPartition{t.Topic, wanted.Partition}] {
				continue
			}
			seen[topicPartition{t.Topic, wanted.Partition}] = true
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition = wanted.Partition
			if t.Topic == metadata.MetadataTopic && wanted.Partition == 0 {
				b.fillQuorum(c, image, &p)
			} else {
				err := refused(kerr.UnknownTopicOrPartition, "only %s-0 has a quorum", metadata.MetadataTopic)
				p.ErrorCode, p.ErrorMessage = errorCode(err), errorMessage(err)
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	node := kmsg.NewDescribeQuorumResponseNode()
	node.NodeID = image.NodeID()
	listener := kmsg.NewDescribeQuorumResponseNodeListener()
	host, port := b.advertised(c.listener)
	listener.Name, listener.Host, listener.Port = c.listener, host, uint16(port)
	node.Listeners = append(node.Listeners, listener)
	resp.Nodes = append(resp.Nodes, node)
	return resp, nil
}

func (b *Broker) fillQuorum(c *call, image *metadata.Image, p *kmsg.DescribeQuorumResponseTopicPartition) {
	offsets := b.controller.log.Offsets()
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = image.NodeID(), image.LeaderEpoch(), offsets.HighWatermark
	voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
	voter.ReplicaID, voter.LogEndOffset = image.NodeID(), offsets.LogEnd
	voter.LastFetchTimestamp, voter.LastCaughtUpTimestamp = c.now.UnixMilli(), c.now.UnixMilli()
	p.CurrentVoters = append(p.CurrentVoters, voter)
}

// unregisterBroker removes nobody: there is one broker, and it is in use. (Kafka takes its last one out.)
func (b *Broker) unregisterBroker(c *call, req *kmsg.UnregisterBrokerRequest) (*kmsg.UnregisterBrokerResponse, error) {
	resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	err := refused(kerr.BrokerIDNotRegistered, "no broker %d is registered", req.BrokerID)
	if req.BrokerID == b.controller.image().NodeID() {
		err = fmt.Errorf("%w: broker %d is the only one of its cluster", metadata.ErrInvalidRequest, req.BrokerID)
	}
	resp.ErrorCode, resp.ErrorMessage = errorCode(err), errorMessage(err)
	return resp, nil
}
