package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// topicDescription is everything about one topic.
type topicDescription struct {
	Name       string                 `json:"name"`
	ID         string                 `json:"id"`
	Internal   bool                   `json:"internal"`
	Partitions []partitionDescription `json:"partitions"`
	Configs    []topicConfig          `json:"configs"`
}

// partitionDescription has null where the broker did not give an offset.
type partitionDescription struct {
	Partition        int32   `json:"partition"`
	Leader           int32   `json:"leader"`
	LeaderEpoch      int32   `json:"leader_epoch"`
	Replicas         []int32 `json:"replicas"`
	InSyncReplicas   []int32 `json:"in_sync_replicas"`
	LogStartOffset   *int64  `json:"log_start_offset"`
	LastStableOffset *int64  `json:"last_stable_offset"`
	HighWatermark    *int64  `json:"high_watermark"`
	Error            *string `json:"error"`
}

type topicConfig struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"`
	Source    string  `json:"source"`
	Sensitive bool    `json:"sensitive"`
}

type topicDescriptions struct {
	Topics []topicDescription `json:"topics"`
}

// Tables returns, per topic, its partitions and its settings.
func (d *topicDescriptions) Tables() []output.Table {
	var tables []output.Table
	for _, topic := range d.Topics {
		partitions := output.Table{
			Title:   fmt.Sprintf("topic %s  id %s  partitions %d", topic.Name, topic.ID, len(topic.Partitions)),
			Headers: []string{"PARTITION", "LEADER", "EPOCH", "REPLICAS", "LOG-START", "LAST-STABLE", "HIGH-WATERMARK", "ERROR"},
		}
		for _, p := range topic.Partitions {
			partitions.Rows = append(partitions.Rows, []string{
				number(p.Partition), number(p.Leader), number(p.LeaderEpoch), strings.Trim(fmt.Sprint(p.Replicas), "[]"),
				optional(p.LogStartOffset), optional(p.LastStableOffset), optional(p.HighWatermark), text(p.Error),
			})
		}
		configs := output.Table{Headers: []string{"CONFIG", "VALUE", "SOURCE"}}
		for _, config := range topic.Configs {
			value := text(config.Value)
			if config.Sensitive {
				value = "(sensitive)"
			}
			configs.Rows = append(configs.Rows, []string{config.Name, value, config.Source})
		}
		tables = append(tables, partitions, configs)
	}
	return tables
}

func number[N int16 | int32 | int64 | int](n N) string { return strconv.FormatInt(int64(n), 10) }

func optional(n *int64) string {
	if n == nil {
		return ""
	}
	return number(*n)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func newTopicDescribeCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:               "describe TOPIC...",
		Short:             "Show the partitions, offsets and settings of topics",
		Args:              atLeastOne("TOPIC"),
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				topics, missing, err := findTopics(ctx, client, unique(args))
				if err != nil {
					return err
				}
				described, err := describeTopics(ctx, client, topics)
				if err != nil {
					return err
				}
				if err := options.Print(cmd.OutOrStdout(), described); err != nil {
					return err
				}
				return reportMissing(cmd, args, missing)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

func describeTopics(ctx context.Context, client *kadm.Client, topics kadm.TopicDetails) (*topicDescriptions, error) {
	described := &topicDescriptions{Topics: []topicDescription{}}
	if len(topics) == 0 {
		return described, nil
	}
	names := topics.Names()
	starts, err := client.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	stables, err := client.ListCommittedOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	ends, err := client.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	configs, err := client.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics.Sorted() {
		description := topicDescription{Name: topic.Topic, ID: topic.ID.String(), Internal: topic.IsInternal}
		for _, p := range topic.Partitions.Sorted() {
			description.Partitions = append(description.Partitions, describePartition(p, starts, stables, ends))
		}
		config, err := configs.On(topic.Topic, nil)
		if err == nil {
			err = config.Err
		}
		if err != nil {
			return nil, fmt.Errorf("settings of topic %q: %w", topic.Topic, brokerError(err, config.ErrMessage))
		}
		description.Configs = describeConfigs(config.Configs)
		described.Topics = append(described.Topics, description)
	}
	return described, nil
}

func describePartition(p kadm.PartitionDetail, starts, stables, ends kadm.ListedOffsets) partitionDescription {
	description := partitionDescription{
		Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas, InSyncReplicas: p.ISR,
	}
	failed := p.Err
	offset := func(listed kadm.ListedOffsets) *int64 {
		found, ok := listed.Lookup(p.Topic, p.Partition)
		if !ok || found.Err != nil {
			if failed == nil {
				failed = found.Err
			}
			return nil
		}
		return &found.Offset
	}
	description.LogStartOffset, description.LastStableOffset, description.HighWatermark = offset(starts), offset(stables), offset(ends)
	if failed != nil {
		message := oneLine(brokerError(failed, ""))
		description.Error = &message
	}
	return description
}

func describeConfigs(configs []kadm.Config) []topicConfig {
	described := make([]topicConfig, 0, len(configs))
	for _, config := range configs {
		described = append(described, topicConfig{
			Name: config.Key, Value: config.Value, Source: strings.ToLower(config.Source.String()), Sensitive: config.Sensitive,
		})
	}
	slices.SortFunc(described, func(a, b topicConfig) int { return strings.Compare(a.Name, b.Name) })
	return described
}
