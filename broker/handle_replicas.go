package broker

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
)

// ElectLeaders 0-2 (KIP-183, KIP-460), AlterPartitionReassignments 0-1 and ListPartitionReassignments 0 (KIP-455,
// KIP-860): what may be asked about replicas of a broker that holds the only one of everything.

// Types of election (KIP-460).
const (
	electPreferred = 0
	electUnclean   = 1
)

// electLeaders elects nobody: each partition has its one replica for a leader. Asked about all partitions, it names the
// topics without any, as Kafka does where no election was needed.
func (b *Broker) electLeaders(c *call, req *kmsg.ElectLeadersRequest) (*kmsg.ElectLeadersResponse, error) {
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	image := b.controller.image()
	known := req.ElectionType == electPreferred || req.ElectionType == electUnclean
	if !known {
		resp.ErrorCode = kerr.InvalidRequest.Code
	}
	if req.Topics == nil {
		for _, t := range image.Topics() {
			topic := kmsg.NewElectLeadersResponseTopic()
			topic.Topic = t.Name
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil
	}
	for _, t := range req.Topics {
		topic := kmsg.NewElectLeadersResponseTopic()
		topic.Topic = t.Topic
		for _, index := range t.Partitions {
			err := image.CheckPartition(t.Topic, index)
			switch {
			case !known:
				err = fmt.Errorf("%w: election type %d", metadata.ErrInvalidRequest, req.ElectionType)
			case err == nil:
				err = kerr.ElectionNotNeeded
			}
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = index, errorCode(err), errorMessage(err)
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// alterPartitionReassignments takes the assignment that every partition has already, and refuses all others.
func (b *Broker) alterPartitionReassignments(c *call, req *kmsg.AlterPartitionAssignmentsRequest) (*kmsg.AlterPartitionAssignmentsResponse, error) {
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	image := b.controller.image()
	for _, t := range req.Topics {
		topic := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		topic.Topic = t.Topic
		for _, wanted := range t.Partitions {
			err := image.CheckPartition(t.Topic, wanted.Partition)
			switch {
			case err != nil:
			case wanted.Replicas == nil:
				err = refused(kerr.NoReassignmentInProgress, "partition %s-%d is not being moved", t.Topic, wanted.Partition)
			default:
				err = image.CheckReplicas(wanted.Replicas)
			}
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = wanted.Partition, errorCode(err), errorMessage(err)
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// listPartitionReassignments lists none: a partition has nowhere to go.
func (b *Broker) listPartitionReassignments(c *call, req *kmsg.ListPartitionReassignmentsRequest) (*kmsg.ListPartitionReassignmentsResponse, error) {
	return req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse), nil
}
