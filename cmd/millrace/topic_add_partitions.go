package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type topicAddPartitions struct {
	count  int
	dryRun bool
}

func newTopicAddPartitionsCommand(c *connection) *cobra.Command {
	var options output.Options
	var add topicAddPartitions
	cmd := &cobra.Command{
		Use:               "add-partitions TOPIC... -n N",
		Short:             "Add partitions to topics",
		Long:              "Add N partitions to each topic. Keys may go to other partitions from then on; partitions cannot be taken away again.",
		Args:              atLeastOne("TOPIC"),
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if add.count < 1 {
				return usage.Errorf("topic add-partitions: -n needs a number of partitions to add, 1 or more")
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				results, err := add.run(ctx, client, unique(args))
				if err != nil {
					return err
				}
				return results.print(cmd, &options)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().IntVarP(&add.count, "num", "n", 0, "number of partitions to add")
	cmd.Flags().BoolVar(&add.dryRun, "dry-run", false, "check the request, change nothing")
	return cmd
}

func (t *topicAddPartitions) run(ctx context.Context, client *kadm.Client, names []string) (*itemResults, error) {
	topics, missing, err := findTopics(ctx, client, names)
	if err != nil {
		return nil, err
	}
	existing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return missing[name] != nil })
	ask, done := client.CreatePartitions, "now"
	if t.dryRun {
		ask, done = client.ValidateCreatePartitions, "would be"
	}
	responses, err := ask(ctx, t.count, existing...)
	if err != nil {
		return nil, err
	}
	results := &itemResults{kind: "topic"}
	for _, name := range names {
		if err := missing[name]; err != nil {
			results.add(name, "", err)
			continue
		}
		response, err := responses.On(name, nil)
		if err == nil {
			err = response.Err
		}
		status := fmt.Sprintf("%s %d partitions", done, len(topics[name].Partitions)+t.count)
		results.add(name, status, brokerError(err, response.ErrMessage))
	}
	return results, nil
}
