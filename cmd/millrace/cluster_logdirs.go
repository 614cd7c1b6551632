package main

import (
	"context"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// logDir is a directory of a broker. The sizes of its volume are null where the broker does not tell.
type logDir struct {
	Broker      int32           `json:"broker"`
	Dir         string          `json:"dir"`
	TotalBytes  *int64          `json:"total_bytes"`
	UsableBytes *int64          `json:"usable_bytes"`
	SizeBytes   int64           `json:"size_bytes"`
	Error       *string         `json:"error"`
	Partitions  []logDirReplica `json:"partitions"`
}

type logDirReplica struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	SizeBytes int64  `json:"size_bytes"`
}

type logDirs struct {
	LogDirs []logDir `json:"log_dirs"`
}

// Tables returns one row per directory and one per partition.
func (l *logDirs) Tables() []output.Table {
	dirs := output.Table{Headers: []string{"BROKER", "DIR", "SIZE", "USABLE", "TOTAL", "ERROR"}}
	partitions := output.Table{Headers: []string{"BROKER", "TOPIC", "PARTITION", "SIZE"}}
	for _, dir := range l.LogDirs {
		dirs.Rows = append(dirs.Rows, []string{
			number(dir.Broker), dir.Dir, number(dir.SizeBytes), optional(dir.UsableBytes), optional(dir.TotalBytes), text(dir.Error),
		})
		for _, p := range dir.Partitions {
			partitions.Rows = append(partitions.Rows, []string{number(dir.Broker), p.Topic, number(p.Partition), number(p.SizeBytes)})
		}
	}
	return []output.Table{dirs, partitions}
}

func newClusterLogDirsCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:               "logdirs [TOPIC...]",
		Short:             "Show how many bytes brokers store, per directory and partition",
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				topics, missing, err := findTopics(ctx, client, unique(args))
				if err != nil {
					return err
				}
				listed := &logDirs{LogDirs: []logDir{}}
				if len(topics) > 0 || len(args) == 0 {
					described, err := client.DescribeAllLogDirs(ctx, topics.TopicsSet())
					if err != nil {
						return err
					}
					listed.add(described)
				}
				if err := options.Print(cmd.OutOrStdout(), listed); err != nil {
					return err
				}
				return reportMissing(cmd, args, missing)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

func (l *logDirs) add(described kadm.DescribedAllLogDirs) {
	known := func(size int64) *int64 {
		if size < 0 {
			return nil
		}
		return &size
	}
	for _, found := range described.Sorted() {
		dir := logDir{
			Broker: found.Broker, Dir: found.Dir, TotalBytes: known(found.TotalBytes), UsableBytes: known(found.UsableBytes),
			SizeBytes: found.Size(), Partitions: []logDirReplica{},
		}
		if found.Err != nil {
			message := oneLine(brokerError(found.Err, ""))
			dir.Error = &message
		}
		for _, p := range found.Topics.Sorted() {
			dir.Partitions = append(dir.Partitions, logDirReplica{p.Topic, p.Partition, p.Size})
		}
		l.LogDirs = append(l.LogDirs, dir)
	}
}
