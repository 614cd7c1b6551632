package main

import (
	"context"
	"errors"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

type topicCreate struct {
	partitions  int32
	replicas    int16
	pairs       []string
	ifNotExists bool
	dryRun      bool
}

func newTopicCreateCommand(c *connection) *cobra.Command {
	var options output.Options
	var create topicCreate
	cmd := &cobra.Command{
		Use:     "create TOPIC...",
		Short:   "Create topics",
		Example: "  millrace topic create clicks -p 6 -c retention.ms=86400000",
		Args:    atLeastOne("TOPIC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if create.partitions < -1 || create.partitions == 0 {
				return usage.Errorf("topic create: -p: %d is no number of partitions (1 or more, -1 for the broker's default)", create.partitions)
			}
			if create.replicas < -1 || create.replicas == 0 {
				return usage.Errorf("topic create: -r: %d is no number of replicas (1 or more, -1 for the broker's default)", create.replicas)
			}
			configs, err := parseConfigs("-c", create.pairs)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				results, err := create.run(ctx, client, configs, unique(args))
				if err != nil {
					return err
				}
				return results.print(cmd, &options)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().Int32VarP(&create.partitions, "partitions", "p", -1, "number of partitions, -1 for the broker's default")
	cmd.Flags().Int16VarP(&create.replicas, "replicas", "r", -1, "number of replicas, -1 for the broker's default")
	cmd.Flags().StringArrayVarP(&create.pairs, "config", "c", nil, "topic setting, KEY=VALUE (repeatable)")
	cmd.Flags().BoolVar(&create.ifNotExists, "if-not-exists", false, "do not fail if a topic exists")
	cmd.Flags().BoolVar(&create.dryRun, "dry-run", false, "check the request, create nothing")
	return cmd
}

func (t *topicCreate) run(ctx context.Context, client *kadm.Client, configs map[string]string, names []string) (*itemResults, error) {
	values := make(map[string]*string, len(configs))
	for key, value := range configs {
		values[key] = &value
	}
	ask, done := client.CreateTopics, "created"
	if t.dryRun {
		ask, done = client.ValidateCreateTopics, "would be created"
	}
	responses, err := ask(ctx, t.partitions, t.replicas, values, names...)
	if err != nil {
		return nil, err
	}
	results := &itemResults{kind: "topic"}
	for _, name := range names {
		response, ok := responses[name]
		switch {
		case !ok:
			results.add(name, "", errors.New("the broker did not answer for it"))
		case t.ifNotExists && errors.Is(response.Err, kerr.TopicAlreadyExists):
			results.add(name, "exists", nil)
		default:
			results.add(name, done, brokerError(response.Err, response.ErrMessage))
		}
	}
	return results, nil
}
