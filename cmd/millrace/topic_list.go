package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// topicSummary is a topic in a list.
type topicSummary struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Internal   bool   `json:"internal"`
}

type topicList struct {
	Topics []topicSummary `json:"topics"`
}

// Tables returns one row per topic.
func (l *topicList) Tables() []output.Table {
	table := output.Table{Headers: []string{"NAME", "PARTITIONS", "REPLICAS"}}
	for _, topic := range l.Topics {
		table.Rows = append(table.Rows, []string{topic.Name, strconv.Itoa(topic.Partitions), strconv.Itoa(topic.Replicas)})
	}
	return []output.Table{table}
}

func newTopicListCommand(c *connection) *cobra.Command {
	var options output.Options
	var internal bool
	cmd := &cobra.Command{
		Use:               "list [TOPIC...]",
		Aliases:           []string{"ls"},
		Short:             "List topics",
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				topics, missing, err := findTopics(ctx, client, unique(args))
				if err != nil {
					return err
				}
				list := topicList{Topics: []topicSummary{}}
				for _, topic := range topics.Sorted() {
					if !topic.IsInternal || internal || len(args) > 0 {
						list.Topics = append(list.Topics, summarize(topic))
					}
				}
				if err := options.Print(cmd.OutOrStdout(), &list); err != nil {
					return err
				}
				return reportMissing(cmd, args, missing)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&internal, "internal", "i", false, "list internal topics too")
	return cmd
}

func summarize(topic kadm.TopicDetail) topicSummary {
	return topicSummary{
		Name: topic.Topic, ID: topic.ID.String(), Partitions: len(topic.Partitions),
		Replicas: topic.Partitions.NumReplicas(), Internal: topic.IsInternal,
	}
}

// reportMissing writes a line for each name that was not found, in the order asked.
func reportMissing(cmd *cobra.Command, names []string, missing map[string]error) error {
	var failures failureLines
	for _, name := range unique(names) {
		if err := missing[name]; err != nil {
			failures.add(cmd.ErrOrStderr(), fmt.Errorf("%s: %w", commandName(cmd), err))
		}
	}
	return failures.err()
}
