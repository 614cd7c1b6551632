package main

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type topicDelete struct {
	ifExists bool
	confirmation
}

func newTopicDeleteCommand(c *connection) *cobra.Command {
	var options output.Options
	var remove topicDelete
	cmd := &cobra.Command{
		Use:               "delete TOPIC...",
		Aliases:           []string{"rm"},
		Short:             "Delete topics and their records",
		Args:              atLeastOne("TOPIC"),
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			names := unique(args)
			if err := remove.ask(cmd, "delete topic "+strings.Join(names, ", ")); err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				results, err := remove.run(ctx, client, names)
				if err != nil {
					return err
				}
				return results.print(cmd, &options)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&remove.ifExists, "if-exists", false, "do not fail if a topic does not exist")
	remove.addFlags(cmd.Flags())
	return cmd
}

func (t *topicDelete) run(ctx context.Context, client *kadm.Client, names []string) (*itemResults, error) {
	topics, missing, err := findTopics(ctx, client, names)
	if err != nil {
		return nil, err
	}
	existing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return missing[name] != nil })
	var responses kadm.DeleteTopicResponses
	if !t.dryRun && len(existing) > 0 {
		if responses, err = client.DeleteTopics(ctx, existing...); err != nil {
			return nil, err
		}
	}
	results := &itemResults{kind: "topic"}
	for _, name := range names {
		switch {
		case !topics.Has(name) && t.ifExists:
			results.add(name, "does not exist", nil)
		case missing[name] != nil:
			results.add(name, "", missing[name])
		case t.dryRun:
			results.add(name, "would be deleted", nil)
		default:
			response, err := responses.On(name, nil)
			if err == nil {
				err = response.Err
			}
			results.add(name, "deleted", brokerError(err, response.ErrMessage))
		}
	}
	return results, nil
}
