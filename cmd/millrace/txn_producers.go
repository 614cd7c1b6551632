package main

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// partitionProducer is what one partition knows of one producer. The start is null while no transaction of the producer is
// open there, the coordinator's epoch until one has ended, sequence and timestamp before the first batch of an epoch.
type partitionProducer struct {
	Topic            string `json:"topic"`
	Partition        int32  `json:"partition"`
	ProducerID       int64  `json:"producer_id"`
	Epoch            int16  `json:"producer_epoch"`
	LastSequence     *int64 `json:"last_sequence"`
	LastTimestampMs  *int64 `json:"last_timestamp_ms"`
	CoordinatorEpoch *int64 `json:"coordinator_epoch"`
	OpenSinceOffset  *int64 `json:"open_since_offset"`
}

type partitionProducers struct {
	Producers []partitionProducer `json:"producers"`
}

// Tables returns one row per partition and producer.
func (p *partitionProducers) Tables() []output.Table {
	table := output.Table{Headers: []string{
		"TOPIC", "PARTITION", "PRODUCER", "EPOCH", "LAST-SEQUENCE", "LAST-WRITTEN", "COORDINATOR-EPOCH", "OPEN-SINCE-OFFSET",
	}}
	for _, producer := range p.Producers {
		written := "-"
		if producer.LastTimestampMs != nil {
			written = timestampText(*producer.LastTimestampMs)
		}
		table.Rows = append(table.Rows, []string{
			producer.Topic, number(producer.Partition), number(producer.ProducerID), number(producer.Epoch), optional(producer.LastSequence),
			written, optional(producer.CoordinatorEpoch), optional(producer.OpenSinceOffset),
		})
	}
	return []output.Table{table}
}

func newTxnProducersCommand(c *connection) *cobra.Command {
	var options output.Options
	var open bool
	cmd := &cobra.Command{
		Use:   "producers TOPIC[:PARTITIONS]...",
		Short: "Show who writes to partitions, and whose transactions are open there",
		Long: `Show the producers that partitions remember: idempotent and transactional ones.
OPEN-SINCE-OFFSET is where the first record of an open transaction lies. Readers of committed records come no further.`,
		Example: `  millrace txn producers orders
  millrace txn producers orders:0,3 payments --open`,
		Args:              atLeastOne("TOPIC"),
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := parseSelection("txn producers", args)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				producers, failures, err := listProducers(ctx, cmd, client, chosen)
				if err != nil {
					return err
				}
				list := &partitionProducers{Producers: []partitionProducer{}}
				for _, p := range producers {
					if !open || p.CurrentTxnStartOffset >= 0 {
						list.Producers = append(list.Producers, producerOf(p))
					}
				}
				if err := options.Print(cmd.OutOrStdout(), list); err != nil {
					return err
				}
				return failures.err()
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&open, "open", false, "only those with an open transaction")
	return cmd
}

// listProducers asks for the producers of the chosen partitions, and says which partitions did not answer.
func listProducers(ctx context.Context, cmd *cobra.Command, client *kadm.Client, chosen selection) ([]kadm.DescribedProducer, *failureLines, error) {
	wanted := kadm.TopicsSet{}
	for topic, partitions := range chosen {
		keys, err := findPartitions(ctx, client, []string{topic}, partitions)
		if err != nil {
			return nil, nil, err
		}
		for _, key := range keys {
			wanted.Add(key.topic, key.partition)
		}
	}
	described, err := client.DescribeProducers(ctx, wanted)
	if err != nil {
		return nil, nil, err
	}
	failures := &failureLines{}
	for _, p := range described.SortedPartitions() {
		if p.Err != nil {
			failures.add(cmd.ErrOrStderr(), fmt.Errorf("topic %q partition %d: %w", p.Topic, p.Partition, brokerError(p.Err, p.ErrMessage)))
		}
	}
	return described.SortedProducers(), failures, nil
}

func producerOf(p kadm.DescribedProducer) partitionProducer {
	known := func(n int64) *int64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	return partitionProducer{
		Topic: p.Topic, Partition: p.Partition, ProducerID: p.ProducerID, Epoch: p.ProducerEpoch,
		LastSequence: known(int64(p.LastSequence)), LastTimestampMs: known(p.LastTimestamp),
		CoordinatorEpoch: known(int64(p.CoordinatorEpoch)), OpenSinceOffset: known(p.CurrentTxnStartOffset),
	}
}
