package main

import (
	"context"
	"fmt"
	"io"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// streamsLag is how far the tasks of an application are behind, and how much a restore would read.
type streamsLag struct {
	Name       string             `json:"name"`
	State      string             `json:"state"`
	Lag        int64              `json:"lag"`
	Tasks      []streamsTask      `json:"tasks"`
	Changelogs []streamsChangelog `json:"changelogs"`
}

// streamsChangelog is one partition of a store's changelog. Records counts offsets: compaction has emptied some of them.
type streamsChangelog struct {
	Store     string  `json:"store"`
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Records   *int64  `json:"records"`
	Bytes     *int64  `json:"size_bytes"`
	Error     *string `json:"error"`
}

// Tables returns one row per input of a task, and one per partition of a changelog.
func (l *streamsLag) Tables() []output.Table {
	inputs := output.Table{
		Title:   fmt.Sprintf("application %s  state %s  lag %d", l.Name, l.State, l.Lag),
		Headers: []string{"TASK", "TOPIC", "COMMITTED", "LOG-END", "LAG", "MEMBER", "ERROR"},
	}
	for _, t := range l.Tasks {
		for _, i := range t.Inputs {
			inputs.Rows = append(inputs.Rows, []string{
				t.name(), i.Topic, optional(i.CommittedOffset), optional(i.LogEndOffset), optional(i.Lag), text(t.Member), text(i.Error),
			})
		}
	}
	tables := []output.Table{inputs}
	if len(l.Changelogs) > 0 {
		changelogs := output.Table{Headers: []string{"STORE", "PARTITION", "RECORDS", "BYTES", "CHANGELOG", "ERROR"}}
		for _, c := range l.Changelogs {
			changelogs.Rows = append(changelogs.Rows, []string{c.Store, number(c.Partition), optional(c.Records), optional(c.Bytes), c.Topic, text(c.Error)})
		}
		tables = append(tables, changelogs)
	}
	return tables
}

func newStreamsLagCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:               "lag APPLICATION",
		Short:             "Show how far each task is behind, and how large the changelogs are",
		Args:              exactlyOne("APPLICATION"),
		ValidArgsFunction: c.completeStreamsApps(),
		RunE: withStreamsApp(c, func(ctx context.Context, client *kadm.Client, app *streamsApp, out io.Writer) (err error) {
			lag := &streamsLag{Name: app.description.App, State: app.state()}
			if lag.Tasks, err = app.tasks(ctx, client); err != nil {
				return err
			}
			lag.Lag = totalLag(lag.Tasks)
			if lag.Changelogs, err = app.changelogs(ctx, client); err != nil {
				return err
			}
			return options.Print(out, lag)
		}),
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

// changelogs lists the partitions of all changelogs.
func (a *streamsApp) changelogs(ctx context.Context, client *kadm.Client) ([]streamsChangelog, error) {
	changelogs := []streamsChangelog{}
	var topics []string
	for _, store := range a.description.Stores {
		topics = append(topics, store.Changelog)
	}
	if len(topics) == 0 {
		return changelogs, nil
	}
	starts, err := client.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends, err := client.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var set kadm.TopicsSet
	for _, store := range a.description.Stores {
		for partition := range int32(store.Partitions) {
			set.Add(store.Changelog, partition)
		}
	}
	sizes, sizesErr := client.DescribeAllLogDirs(ctx, set)
	for _, store := range a.description.Stores {
		for partition := range int32(store.Partitions) {
			key := partitionKey{store.Changelog, partition}
			one := streamsChangelog{Store: store.Name, Topic: key.topic, Partition: partition}
			start, err := listedOffset(key, starts)
			end, endErr := listedOffset(key, ends)
			if err == nil {
				err = endErr
			}
			if err != nil {
				message := oneLine(err)
				one.Error = &message
			} else {
				records := end - start
				one.Records = &records
			}
			if sizesErr == nil {
				one.Bytes = largest(sizes, key)
			}
			changelogs = append(changelogs, one)
		}
	}
	return changelogs, nil
}

// largest returns the size of a partition's largest replica, nil if no broker tells.
func largest(sizes kadm.DescribedAllLogDirs, key partitionKey) (size *int64) {
	sizes.Each(func(dir kadm.DescribedLogDir) {
		if p, ok := dir.Topics.Lookup(key.topic, key.partition); ok && (size == nil || p.Size > *size) {
			size = &p.Size
		}
	})
	return size
}
