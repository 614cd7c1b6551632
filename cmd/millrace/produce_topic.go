package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// autoCreateTries bounds how often autoCreate asks: Kafka answers the first time that the topic it
// creates is not there yet.
const (
	autoCreateTries = 5
	autoCreatePause = 100 * time.Millisecond
)

// autoCreate asks for metadata as producers do, which creates a topic on brokers that allow it. It
// returns an empty detail if there is none afterwards.
func autoCreate(ctx context.Context, client *kgo.Client, topic string) (kadm.TopicDetail, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = true
	wanted := kmsg.NewMetadataRequestTopic()
	wanted.Topic = kmsg.StringPtr(topic)
	request.Topics = append(request.Topics, wanted)
	for range autoCreateTries {
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return kadm.TopicDetail{}, err
		}
		if len(response.Topics) == 1 {
			err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
		}
		if errors.Is(err, kerr.InvalidTopicException) {
			return kadm.TopicDetail{}, nil
		}
		topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
		if err != nil || topics[topic].Err == nil {
			return topics[topic], err
		}
		select {
		case <-ctx.Done():
			return kadm.TopicDetail{}, ctx.Err()
		case <-time.After(autoCreatePause):
		}
	}
	return kadm.TopicDetail{}, nil
}

// Kafka's default of max.message.bytes is a little more than what clients put into a batch.
const defaultBatchBytes = 1_000_012

// batchBytesMax returns how large batches may be: more than the default where the topic allows more.
func batchBytesMax(ctx context.Context, client *kadm.Client, topic string) int32 {
	described, err := client.DescribeTopicConfigs(ctx, topic)
	if err != nil || len(described) != 1 {
		return defaultBatchBytes
	}
	for _, config := range described[0].Configs {
		if config.Key != "max.message.bytes" {
			continue
		}
		n, err := strconv.ParseInt(config.MaybeValue(), 10, 32)
		if err == nil && n > defaultBatchBytes {
			return int32(min(n, bufferedBytesMax))
		}
	}
	return defaultBatchBytes
}

// explicitPartitioner sends a record to its Partition if that is not negative, and leaves the
// others to the partitioner behind.
type explicitPartitioner struct{ kgo.Partitioner }

// ForTopic returns the partitioner of one topic.
func (p explicitPartitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return &explicitTopicPartitioner{p.Partitioner.ForTopic(topic)}
}

type explicitTopicPartitioner struct{ kgo.TopicPartitioner }

// RequiresConsistency keeps a record from being moved away from a partition that it names.
func (p *explicitTopicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.TopicPartitioner.RequiresConsistency(r)
}

// Partition returns the partition that r names or hashes to.
func (p *explicitTopicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

// OnNewBatch passes on that a batch is full.
func (p *explicitTopicPartitioner) OnNewBatch() {
	if inner, ok := p.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		inner.OnNewBatch()
	}
}

// codecValue is a flag value that names the nearest codec when it is wrong.
type codecValue string

func (c *codecValue) String() string { return string(*c) }
func (c *codecValue) Type() string   { return "CODEC" }

func (c *codecValue) Set(s string) error {
	if !slices.Contains(clientconfig.Codecs, s) {
		return usage.Unknown("codec", s, clientconfig.Codecs)
	}
	*c = codecValue(s)
	return nil
}
