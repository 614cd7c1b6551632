package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/streams/internal/graph"
)

const (
	recordBytesMaxDefault = 1_000_012 // of kgo and of Kafka
	// batchBytesMin and batchBytesMax are what kgo takes as the limit of a batch.
	batchBytesMin = 512
	batchBytesMax = 1 << 30
	// requestOverheadBytes is more than a request has besides its one batch.
	requestOverheadBytes = 4096
	// maxMessageBytes is the setting of a topic that bounds its batches.
	maxMessageBytes = "max.message.bytes"
)

// checkWritten looks for the topics of sinks and dead letters, which are the user's to create, as those that are read. Without that,
// the first record for one would find out.
func (t *Topics) checkWritten(program *Program, app string) error {
	var mistakes []error
	missing := func(node, topic, what string) {
		if t.Counts[topic] == 0 {
			mistakes = append(mistakes, fmt.Errorf("node %s: no topic %s for its %s: create it first", node, topic, what))
		}
	}
	for _, node := range program.Graph.Nodes {
		if node.Kind == graph.Sink && !program.Graph.Topic(node.Topics[0]).Internal {
			missing(node.Name, program.Graph.KafkaTopic(app, node.Topics[0]), "records")
		}
		if node.DeadLetters != "" {
			missing(node.Name, node.DeadLetters, "dead letters")
		}
	}
	return errors.Join(mistakes...)
}

// written returns the names in Kafka of the topics that are written and exist.
func (t *Topics) written(program *Program, app string) (names []string) {
	for _, node := range program.Graph.Nodes {
		if node.Kind == graph.Sink {
			names = append(names, program.Graph.KafkaTopic(app, node.Topics[0]))
		}
		if node.DeadLetters != "" {
			names = append(names, node.DeadLetters)
		}
	}
	for _, store := range program.Graph.Stores {
		names = append(names, graph.ChangelogTopic(app, store.Name))
	}
	names = slices.DeleteFunc(names, func(name string) bool { return t.Counts[name] == 0 })
	slices.Sort(names)
	return slices.Compact(names)
}

// recordLimits are how large a batch may be, and so a record, by topic in Kafka.
type recordLimits struct {
	topics     map[string]int           // what topics say
	client     func(topic string) int32 // what the client's options say
	requestMax int                      // what a request of the client has room for
}

// readLimits asks topics how large their batches may be. Of those that it may not ask, the client's limit holds.
func readLimits(ctx context.Context, client *kgo.Client, topics []string) (recordLimits, error) {
	l := recordLimits{
		topics: map[string]int{}, client: client.OptValue(kgo.ProducerBatchMaxBytesFn).(func(string) int32),
		requestMax: int(client.OptValue(kgo.BrokerMaxWriteBytes).(int32)) - requestOverheadBytes,
	}
	if len(topics) == 0 {
		return l, nil
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	for _, topic := range topics {
		asked := kmsg.NewDescribeConfigsRequestResource()
		asked.ResourceType, asked.ResourceName, asked.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{maxMessageBytes}
		request.Resources = append(request.Resources, asked)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return l, fmt.Errorf("ask topics for %s: %w", maxMessageBytes, err)
	}
	for _, topic := range response.Resources {
		if err := l.take(topic); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l recordLimits) take(topic kmsg.DescribeConfigsResponseResource) error {
	err := kerr.ErrorForCode(topic.ErrorCode)
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask topic %s for %s: %w", topic.ResourceName, maxMessageBytes, err)
	}
	for _, config := range topic.Configs {
		if config.Name != maxMessageBytes || config.Value == nil {
			continue
		}
		if bytes, err := strconv.Atoi(*config.Value); err == nil {
			l.topics[topic.ResourceName] = bytes
		}
	}
	return nil
}

// of returns the limit of a topic: its own, unless the user has chosen one for the client that is less; the client's if nothing is
// known of the topic.
func (l recordLimits) of(topic string) int {
	client := int(l.client(topic))
	bytes, known := l.topics[topic]
	switch {
	case !known:
		return client
	case client != recordBytesMaxDefault:
		bytes = min(bytes, client)
	}
	return min(bytes, l.requestMax, batchBytesMax)
}

// ofBatch is the same as kgo takes it: below its least, no record comes to it.
func (l recordLimits) ofBatch(topic string) int32 { return int32(max(l.of(topic), batchBytesMin)) }
