package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// txnAbort is txn abort: of transactional ids, or of a transaction that no coordinator knows of any more.
type txnAbort struct {
	topics     []string
	producerID int64
	confirmation
}

func newTxnAbortCommand(c *connection) *cobra.Command {
	var options output.Options
	var abort txnAbort
	cmd := &cobra.Command{
		Use:   "abort TRANSACTIONAL-ID... | --topic TOPIC:PARTITIONS --producer ID",
		Short: "Abort open transactions and fence their producers",
		Long: `Abort the open transactions of transactional ids. Their producers are fenced: what they send next is refused, and
they have to begin anew.

With --topic and --producer, end a transaction that no coordinator knows of, by a marker in those partitions: one that
txn producers shows as open and whose producer no transactional id has. That is for brokers that left one behind.`,
		Example: `  millrace txn abort billing-1
  millrace txn abort --topic orders:3 --producer 4021`,
		ValidArgsFunction: c.completeTransactions(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := abort.check(cmd, args); err != nil {
				return err
			}
			if len(args) == 0 {
				return abort.markers(cmd, c, &options)
			}
			return abort.fence(cmd, c, &options, unique(args))
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().StringArrayVar(&abort.topics, "topic", nil, "the partitions of a transaction without a coordinator: TOPIC:0,3,5-7 (repeatable)")
	cmd.Flags().Int64Var(&abort.producerID, "producer", -1, "the id of its producer")
	abort.addFlags(cmd.Flags())
	return cmd
}

func (a *txnAbort) check(cmd *cobra.Command, args []string) error {
	byProducer := cmd.Flags().Changed("producer") || len(a.topics) > 0
	switch {
	case len(args) > 0 && byProducer:
		return usage.Errorf("txn abort: takes either transactional ids or --topic with --producer")
	case len(args) == 0 && !byProducer:
		return usage.Errorf("txn abort: needs a TRANSACTIONAL-ID, or --topic with --producer")
	case byProducer && (a.producerID < 0 || len(a.topics) == 0):
		return usage.Errorf("txn abort: --topic and --producer go together (txn producers shows both)")
	}
	return noEmpty("TRANSACTIONAL-ID", args)
}

// fence takes the place of the producers: who asks for the next epoch of a transactional id ends what the last one left open.
func (a *txnAbort) fence(cmd *cobra.Command, c *connection, options *output.Options, ids []string) error {
	if err := a.ask(cmd, "abort and fence "+strings.Join(ids, ", ")); err != nil {
		return err
	}
	return c.bounded(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
		results := &itemResults{kind: "transactional id"}
		for _, id := range ids {
			status, err := a.fenceOne(ctx, client, id)
			results.add(id, status, err)
		}
		return results.print(cmd, options)
	})
}

func (a *txnAbort) fenceOne(ctx context.Context, client *kgo.Client, id string) (status string, err error) {
	txn, err := describeTransaction(ctx, kadm.NewClient(client), id)
	switch {
	case err != nil:
		return "", err
	case !undecided(txn.State):
		return "nothing was open", nil
	case txn.State == "PrepareCommit":
		return "", errors.New("it is decided to be committed and cannot be aborted any more")
	case a.dryRun:
		return "would be aborted", nil
	}
	request := kmsg.NewPtrInitProducerIDRequest()
	request.TransactionalID = &id
	request.TransactionTimeoutMillis = txn.TimeoutMs
	for {
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return "", err
		}
		if err = kerr.ErrorForCode(response.ErrorCode); !errors.Is(err, kerr.ConcurrentTransactions) {
			return "aborted", brokerError(err, "")
		}
		// The abort is under way: until it is through the broker gives no new epoch.
		select {
		case <-time.After(fenceRetry):
		case <-ctx.Done():
			return "", fmt.Errorf("the abort did not end within %v", requestMax)
		}
	}
}

// fenceRetry is between two questions whether an abort is through. They end with requestMax.
const fenceRetry = 50 * time.Millisecond

// markers writes abort markers for a producer that no transactional id has.
func (a *txnAbort) markers(cmd *cobra.Command, c *connection, options *output.Options) error {
	chosen, err := parseSelection("--topic", a.topics)
	if err != nil {
		return err
	}
	if err := a.possible(cmd, fmt.Sprintf("abort the transaction of producer %d", a.producerID)); err != nil {
		return err
	}
	return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
		if err := a.refuseOwned(ctx, client); err != nil {
			return err
		}
		open, err := a.open(ctx, cmd, client, chosen)
		if err != nil {
			return err
		}
		if err := a.ask(cmd, fmt.Sprintf("abort the transaction of producer %d in %d partitions", a.producerID, len(open))); err != nil {
			return err
		}
		results := &itemResults{kind: "partition"}
		for _, p := range open {
			name := p.Topic + ":" + number(p.Partition)
			if a.dryRun {
				results.add(name, "would be aborted from offset "+number(p.CurrentTxnStartOffset)+" on", nil)
				continue
			}
			results.add(name, "aborted from offset "+number(p.CurrentTxnStartOffset)+" on", writeAbort(ctx, client, p))
		}
		return results.print(cmd, options)
	})
}

// refuseOwned fails if a transactional id has the producer: its coordinator would not know of the abort.
func (a *txnAbort) refuseOwned(ctx context.Context, client *kadm.Client) error {
	listed, err := client.ListTransactions(ctx, []int64{a.producerID}, nil)
	if err != nil {
		return err
	}
	for _, txn := range listed.Sorted() {
		if txn.ProducerID == a.producerID && undecided(txn.State) {
			return fmt.Errorf("producer %d belongs to transactional id %q, which is %s: use txn abort %s", a.producerID, txn.TxnID, txn.State, txn.TxnID)
		}
	}
	return nil
}

// open returns the chosen partitions in which the producer has an open transaction.
func (a *txnAbort) open(ctx context.Context, cmd *cobra.Command, client *kadm.Client, chosen selection) ([]kadm.DescribedProducer, error) {
	producers, failures, err := listProducers(ctx, cmd, client, chosen)
	if err != nil {
		return nil, err
	}
	if err := failures.err(); err != nil {
		return nil, err
	}
	var open []kadm.DescribedProducer
	for _, p := range producers {
		if p.ProducerID == a.producerID && p.CurrentTxnStartOffset >= 0 {
			open = append(open, p)
		}
	}
	if len(open) == 0 {
		return nil, fmt.Errorf("producer %d has no open transaction there", a.producerID)
	}
	return open, nil
}

func writeAbort(ctx context.Context, client *kadm.Client, p kadm.DescribedProducer) error {
	marker := kadm.TxnMarkers{
		ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: max(p.CoordinatorEpoch, 0), Topics: kadm.TopicsSet{},
	}
	marker.Topics.Add(p.Topic, p.Partition)
	written, err := client.WriteTxnMarkers(ctx, marker)
	if err != nil {
		return err
	}
	answer, ok := written[p.ProducerID].Topics[p.Topic].Partitions[p.Partition]
	if !ok {
		return errors.New("the broker's answer does not name it")
	}
	return brokerError(answer.Err, "")
}
