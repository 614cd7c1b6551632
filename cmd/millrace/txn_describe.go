package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// txnDescription is one transactional id with the partitions that wait for the end of its transaction.
type txnDescription struct {
	txnSummary
	Partitions []topicPartition `json:"partitions"`
}

type topicPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

type txnDescriptions struct {
	Transactions []txnDescription `json:"transactions"`
}

// Tables returns, per transactional id, the partitions of its transaction.
func (d *txnDescriptions) Tables() []output.Table {
	var tables []output.Table
	for _, txn := range d.Transactions {
		table := output.Table{
			Title: fmt.Sprintf("transactional id %s  state %s  producer %d  epoch %d  timeout %v  started %s  age %s  coordinator %d",
				txn.ID, txn.State, txn.ProducerID, txn.Epoch, time.Duration(txn.TimeoutMs)*time.Millisecond, txn.started(), txn.age(), txn.Coordinator),
			Headers: []string{"TOPIC", "PARTITION"},
		}
		for _, p := range txn.Partitions {
			table.Rows = append(table.Rows, []string{p.Topic, number(p.Partition)})
		}
		if len(table.Rows) == 0 {
			table.Headers = []string{"no partitions"}
		}
		tables = append(tables, table)
	}
	return tables
}

func newTxnDescribeCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:               "describe TRANSACTIONAL-ID...",
		Short:             "Show the state of transactional ids and the partitions of their transactions",
		Args:              atLeastOne("TRANSACTIONAL-ID"),
		ValidArgsFunction: c.completeTransactions(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				descriptions := &txnDescriptions{Transactions: []txnDescription{}}
				var failures failureLines
				for _, id := range unique(args) {
					description, err := describeTransaction(ctx, client, id)
					if err != nil {
						failures.add(cmd.ErrOrStderr(), err)
						continue
					}
					descriptions.Transactions = append(descriptions.Transactions, *description)
				}
				if err := options.Print(cmd.OutOrStdout(), descriptions); err != nil {
					return err
				}
				return failures.err()
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

func describeTransaction(ctx context.Context, client *kadm.Client, id string) (*txnDescription, error) {
	described, err := client.DescribeTransactions(ctx, id)
	if err != nil {
		return nil, err
	}
	txn, ok := described[id]
	switch {
	case !ok, errors.Is(txn.Err, kerr.TransactionalIDNotFound):
		return nil, unknownTransaction(ctx, client, id)
	case txn.Err != nil:
		return nil, fmt.Errorf("transactional id %q: %w", id, brokerError(txn.Err, ""))
	}
	description := &txnDescription{txnSummary: summarizeTxn(txn, time.Now()), Partitions: []topicPartition{}}
	for _, topic := range txn.Topics.Sorted() {
		for _, partition := range topic.Partitions {
			description.Partitions = append(description.Partitions, topicPartition{topic.Topic, partition})
		}
	}
	return description, nil
}
