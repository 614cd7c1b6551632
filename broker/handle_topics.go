package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
)

// CreateTopics 2-7 (KIP-464 defaults, KIP-525 settings in the answer, KIP-516 ids), DeleteTopics 1-6 (KIP-516),
// CreatePartitions 0-3 (KIP-195), all with KIP-599 quotas.

// Versions from which on clients know that a quota may refuse a topic (KIP-599).
const (
	createTopicsThrottled     = 6
	deleteTopicsThrottled     = 5
	createPartitionsThrottled = 3
)

// requestContext bounds the wait for one's turn by the client's timeout.
func requestContext(c *call, timeoutMillis int32) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.ctx, time.Duration(max(timeoutMillis, 0))*time.Millisecond)
}

// createTopics creates topics; each succeeds or fails by itself. When it answers, the topics can be used.
func (b *Broker) createTopics(c *call, req *kmsg.CreateTopicsRequest) (*kmsg.CreateTopicsResponse, error) {
	wanted := make([]metadata.NewTopic, len(req.Topics))
	for i := range req.Topics {
		wanted[i] = newTopicOf(&req.Topics[i])
	}
	mutations := b.mutations(c, createTopicsThrottled)
	if req.ValidateOnly {
		mutations.free()
	}
	var results []metadata.Created
	decide := func(image *metadata.Image) (records []metadata.Record, err error) {
		records, results = mutations.create(image, wanted)
		return records, nil
	}
	err := b.decide(c, req.TimeoutMillis, req.ValidateOnly, decide)

	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	if results == nil {
		for _, w := range wanted {
			results = append(results, metadata.Created{Name: w.Name, Err: err})
		}
	}
	for _, result := range results {
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic = result.Name
		if result.Err == nil {
			result.Err = err
		}
		if result.Err != nil {
			topic.ErrorCode, topic.ErrorMessage = errorCode(result.Err), errorMessage(result.Err)
		} else {
			b.describeCreated(&topic, result.Topic)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// decide makes a change, or with validateOnly looks what would come of it.
func (b *Broker) decide(c *call, timeoutMillis int32, validateOnly bool, decide func(*metadata.Image) ([]metadata.Record, error)) error {
	if validateOnly {
		_, err := decide(b.controller.image())
		return err
	}
	ctx, cancel := requestContext(c, timeoutMillis)
	defer cancel()
	return b.controller.change(ctx, decide)
}

func newTopicOf(t *kmsg.CreateTopicsRequestTopic) metadata.NewTopic {
	wanted := metadata.NewTopic{Name: t.Topic, Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
	for _, a := range t.ReplicaAssignment {
		wanted.Assignments = append(wanted.Assignments, metadata.Assignment{Partition: a.Partition, Replicas: a.Replicas})
	}
	for _, c := range t.Configs {
		wanted.Configs = append(wanted.Configs, metadata.ConfigValue{Name: c.Name, Value: c.Value})
	}
	return wanted
}

// describeCreated fills in what the topic has come to be (KIP-525).
func (b *Broker) describeCreated(topic *kmsg.CreateTopicsResponseTopic, t *metadata.Topic) {
	topic.TopicID = t.ID
	topic.NumPartitions = t.Partitions
	topic.ReplicationFactor = 1
	for _, d := range b.controller.settings().DescribeTopic(t.Configs) {
		setting := kmsg.NewCreateTopicsResponseTopicConfig()
		setting.Name, setting.Value, setting.Source = d.Name, d.Value, int8(d.Source)
		topic.Configs = append(topic.Configs, setting)
	}
}

// deleteTopics deletes topics with all their records; each succeeds or fails by itself.
func (b *Broker) deleteTopics(c *call, req *kmsg.DeleteTopicsRequest) (*kmsg.DeleteTopicsResponse, error) {
	const ownCode = 3 // since this version there is an error code for a broker that deletes nothing
	var refs []metadata.TopicRef
	for _, name := range req.TopicNames {
		refs = append(refs, metadata.TopicRef{Name: &name})
	}
	for _, t := range req.Topics {
		refs = append(refs, metadata.TopicRef{Name: t.Topic, ID: t.TopicID})
	}
	mutations := b.mutations(c, deleteTopicsThrottled)
	var results []metadata.Deleted
	var err error
	switch {
	case b.config.DeleteTopicEnable:
		err = b.decide(c, req.TimeoutMillis, false, func(image *metadata.Image) (records []metadata.Record, err error) {
			records, results = mutations.delete(image, refs)
			return records, nil
		})
	case req.Version < ownCode:
		err = kerr.InvalidRequest
	default:
		err = kerr.TopicDeletionDisabled
	}
	if results == nil {
		for _, ref := range refs {
			results = append(results, metadata.Deleted{TopicRef: ref, Err: err})
		}
	}

	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	for _, result := range results {
		topic := kmsg.NewDeleteTopicsResponseTopic()
		topic.Topic, topic.TopicID = result.Name, result.ID
		if result.Topic != nil {
			topic.Topic, topic.TopicID = &result.Topic.Name, result.Topic.ID
		}
		if result.Err == nil {
			result.Err = err
		}
		topic.ErrorCode, topic.ErrorMessage = errorCode(result.Err), errorMessage(result.Err)
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// createPartitions adds partitions to topics; each topic succeeds or fails by itself.
func (b *Broker) createPartitions(c *call, req *kmsg.CreatePartitionsRequest) (*kmsg.CreatePartitionsResponse, error) {
	wanted := make([]metadata.MorePartitions, len(req.Topics))
	for i, t := range req.Topics {
		wanted[i] = metadata.MorePartitions{Topic: t.Topic, Count: t.Count, Assigned: t.Assignment != nil}
		for _, a := range t.Assignment {
			wanted[i].Assignments = append(wanted[i].Assignments, a.Replicas)
		}
	}
	mutations := b.mutations(c, createPartitionsThrottled)
	if req.ValidateOnly {
		mutations.free()
	}
	var results []metadata.Grown
	err := b.decide(c, req.TimeoutMillis, req.ValidateOnly, func(image *metadata.Image) (records []metadata.Record, err error) {
		records, results = mutations.grow(image, wanted)
		return records, nil
	})
	if results == nil {
		for _, w := range wanted {
			results = append(results, metadata.Grown{Topic: w.Topic, Err: err})
		}
	}

	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	for _, result := range results {
		topic := kmsg.NewCreatePartitionsResponseTopic()
		topic.Topic = result.Topic
		if result.Err == nil {
			result.Err = err
		}
		topic.ErrorCode, topic.ErrorMessage = errorCode(result.Err), errorMessage(result.Err)
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}
