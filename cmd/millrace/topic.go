package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/cmd/millrace/internal/settings"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newTopicCommand(c *connection) *cobra.Command {
	return newParentCommand("topic", "List, create, describe, change, trim and delete topics",
		newTopicListCommand(c),
		newTopicCreateCommand(c),
		newTopicDescribeCommand(c),
		newTopicAlterCommand(c),
		newTopicDeleteCommand(c),
		newTopicAddPartitionsCommand(c),
		newTopicTrimCommand(c),
	)
}

// findTopics returns the topics with these names, all if there are none. Each name without a topic
// gives an error that names the nearest; none creates a topic.
func findTopics(ctx context.Context, client *kadm.Client, names []string) (kadm.TopicDetails, map[string]error, error) {
	topics, err := client.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, nil, err
	}
	missing := map[string]error{}
	for _, name := range names {
		switch err := topics[name].Err; {
		case err == nil:
		case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.InvalidTopicException):
			missing[name] = unknownTopic(ctx, client, name)
			delete(topics, name)
		default:
			missing[name] = brokerError(err, "")
			delete(topics, name)
		}
	}
	return topics, missing, nil
}

// unknownTopic returns the error for a topic that does not exist.
func unknownTopic(ctx context.Context, client *kadm.Client, name string) error {
	existing, err := client.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("unknown topic %q", name)
	}
	return fmt.Errorf("unknown topic %q%s", name, usage.Hint(name, existing.Names()))
}

// parseConfigs reads the key=value pairs of a flag.
func parseConfigs(flag string, pairs []string) (map[string]string, error) {
	configs := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, err := settings.ParsePair(flag, pair)
		if err != nil {
			return nil, err
		}
		if _, twice := configs[key]; twice {
			return nil, usage.Errorf("%s: %s is there twice", flag, key)
		}
		configs[key] = value
	}
	return configs, nil
}
