package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// benchTopic is the topic that a benchmark uses.
type benchTopic struct {
	name       string
	partitions int32
	flush      string // what it says of when records are durable
	created    bool   // by the benchmark, which deletes it
}

// prepare finds the topic, or creates one.
func (b *benchFlags) prepare(ctx context.Context, c *connection) (*benchTopic, error) {
	topic := &benchTopic{name: b.topic, partitions: b.partitions}
	err := c.admin(ctx, func(ctx context.Context, client *kadm.Client) error {
		if topic.name == "" {
			topic.name, topic.created = "millrace-bench-"+strconv.FormatInt(time.Now().UnixNano(), 36), true
			created, err := client.CreateTopic(ctx, b.partitions, -1, nil, topic.name)
			if err != nil {
				return fmt.Errorf("create topic %s: %w", topic.name, brokerError(err, created.ErrMessage))
			}
		} else {
			details, missing, err := findTopics(ctx, client, []string{topic.name})
			if err != nil {
				return err
			}
			if err := missing[topic.name]; err != nil {
				return err
			}
			topic.partitions = int32(len(details[topic.name].Partitions))
		}
		return nil
	})
	return topic, err
}

// describe notes how the topic makes records durable. It is asked once all is measured: a new topic is not known
// everywhere at once.
func (t *benchTopic) describe(ctx context.Context, c *connection) {
	t.flush = "unknown"
	_ = c.admin(context.WithoutCancel(ctx), func(ctx context.Context, client *kadm.Client) error {
		t.flush = flushOf(ctx, client, t.name)
		return nil
	}) // the figures are worth more than this
}

// flushOf says when the topic's records are durable, as far as its settings tell.
func flushOf(ctx context.Context, client *kadm.Client, topic string) string {
	described, err := client.DescribeTopicConfigs(ctx, topic)
	if err != nil || len(described) != 1 {
		return "unknown"
	}
	flush := "unknown"
	for _, config := range described[0].Configs {
		switch config.Key {
		case "flush": // millrace's own
			return config.MaybeValue()
		case "flush.messages":
			flush = "flush.messages=" + config.MaybeValue()
		}
	}
	return flush
}

// remove deletes a topic that the benchmark has created, also once it was interrupted.
func (b *benchFlags) remove(ctx context.Context, c *connection, topic *benchTopic, stderr io.Writer) {
	if !topic.created || b.keep {
		return
	}
	err := c.admin(context.WithoutCancel(ctx), func(ctx context.Context, client *kadm.Client) error {
		_, err := client.DeleteTopic(ctx, topic.name)
		return err
	})
	if err != nil {
		fmt.Fprintf(stderr, "millrace: topic %s is left: %s\n", topic.name, oneLine(err))
	}
}
