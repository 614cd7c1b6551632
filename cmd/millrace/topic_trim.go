package main

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/cmd/millrace/internal/whence"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type topicTrim struct {
	to         string
	partitions string
	confirmation
}

// trimmed is what is or would be deleted of one partition: the offsets [LogStartOffset, To).
type trimmed struct {
	Topic          string  `json:"topic"`
	Partition      int32   `json:"partition"`
	LogStartOffset int64   `json:"log_start_offset"`
	LogEndOffset   int64   `json:"log_end_offset"`
	To             int64   `json:"to"`
	Deleted        int64   `json:"deleted_offsets"`
	Status         string  `json:"status"`
	Error          *string `json:"error"`
}

type trimPlan struct {
	Partitions []trimmed `json:"partitions"`
}

// Tables returns one row per partition.
func (p *trimPlan) Tables() []output.Table {
	table := output.Table{Headers: []string{"TOPIC", "PARTITION", "LOG-START", "LOG-END", "TO", "DELETED", "STATUS"}}
	for _, row := range p.Partitions {
		table.Rows = append(table.Rows, []string{
			row.Topic, number(row.Partition), number(row.LogStartOffset), number(row.LogEndOffset), number(row.To), number(row.Deleted), row.Status,
		})
	}
	return []output.Table{table}
}

func newTopicTrimCommand(c *connection) *cobra.Command {
	var options output.Options
	var trim topicTrim
	cmd := &cobra.Command{
		Use:   "trim TOPIC... --to OFFSET",
		Short: "Delete the oldest records of topics",
		Long: `Delete the records of each partition that come before an offset.

--to says which record becomes the first:
  N      the one at offset N        -N     the Nth from the end: the last N stay
  +N     the Nth after the first    @TIME  the first one of that time or later, @-2d, @2006-01-02
  end    none: everything goes

There is no way back.`,
		Example: `  millrace topic trim clicks --to -1000 --dry-run
  millrace topic trim clicks -p 0,2 --to @-7d --yes`,
		Args:              atLeastOne("TOPIC"),
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return trim.run(cmd, c, &options, unique(args))
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&trim.to, "to", "", "the first record that stays: N, -N, +N, @TIME or end")
	cmd.Flags().StringVarP(&trim.partitions, "partitions", "p", "", "only these partitions: 0,3,5-7")
	trim.addFlags(cmd.Flags())
	return cmd
}

func (t *topicTrim) run(cmd *cobra.Command, c *connection, options *output.Options, names []string) error {
	if t.to == "" {
		return usage.Errorf("topic trim: needs --to, the first record that stays")
	}
	to, err := whence.ParseBound("--to", t.to, time.Now())
	if err != nil {
		return err
	}
	var partitions []int32
	if t.partitions != "" {
		if partitions, err = whence.ParsePartitions(t.partitions); err != nil {
			return err
		}
	}
	if err := t.possible(cmd, "delete records"); err != nil {
		return err
	}
	var plan *trimPlan
	err = c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) (err error) {
		plan, err = planTrim(ctx, client, names, partitions, to)
		return err
	})
	if err != nil {
		return err
	}
	if err := t.askAbout(cmd, plan, "delete these records"); err != nil {
		return err
	}
	if !t.dryRun {
		if err := c.admin(cmd.Context(), plan.apply); err != nil {
			return err
		}
	}
	if err := options.Print(cmd.OutOrStdout(), plan); err != nil {
		return err
	}
	var failures failureLines
	for _, row := range plan.Partitions {
		if row.Error != nil {
			failures.add(cmd.ErrOrStderr(), fmt.Errorf("topic %q partition %d: %s", row.Topic, row.Partition, *row.Error))
		}
	}
	return failures.err()
}

// planTrim finds out what goes. Nothing is planned when a topic or partition does not exist.
func planTrim(ctx context.Context, client *kadm.Client, names []string, partitions []int32, to whence.Bound) (*trimPlan, error) {
	keys, err := findPartitions(ctx, client, names, partitions)
	if err != nil {
		return nil, err
	}
	places, err := listPlaces(ctx, client, to, names)
	if err != nil {
		return nil, err
	}
	plan := &trimPlan{Partitions: []trimmed{}}
	for _, key := range keys {
		first, next, place, err := places.at(key)
		if err != nil {
			return nil, err
		}
		row := trimmed{Topic: key.topic, Partition: key.partition, LogStartOffset: first, LogEndOffset: next, To: place}
		row.Deleted = max(0, place-first)
		switch {
		case place > next:
			row.fail(fmt.Errorf("offset %d is behind its end %d", place, next))
		case row.Deleted == 0:
			row.To, row.Status = first, "nothing to delete"
		default:
			row.Status = "would be trimmed"
		}
		plan.Partitions = append(plan.Partitions, row)
	}
	return plan, nil
}

func (r *trimmed) fail(err error) {
	message := oneLine(err)
	r.Status, r.Error, r.Deleted = "failed", &message, 0
}

// apply does what the plan says and stores what became of it.
func (p *trimPlan) apply(ctx context.Context, client *kadm.Client) error {
	offsets := kadm.Offsets{}
	for _, row := range p.Partitions {
		if row.Deleted > 0 {
			offsets.Add(kadm.Offset{Topic: row.Topic, Partition: row.Partition, At: row.To, LeaderEpoch: -1})
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	responses, err := client.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	for i := range p.Partitions {
		row := &p.Partitions[i]
		if row.Deleted == 0 {
			continue
		}
		response, ok := responses.Lookup(row.Topic, row.Partition)
		switch {
		case !ok:
			row.fail(fmt.Errorf("the broker did not say what became of it"))
		case response.Err != nil:
			row.fail(brokerError(response.Err, ""))
		default:
			row.To, row.Status = response.LowWatermark, "trimmed"
		}
	}
	return nil
}
