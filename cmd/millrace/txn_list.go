package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// txnStates are the states of a transactional id, in the order of its life.
var txnStates = []string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

type txnList struct {
	Transactions []txnSummary `json:"transactions"`
}

// Tables returns one row per transactional id.
func (l *txnList) Tables() []output.Table {
	table := output.Table{Headers: []string{"TRANSACTIONAL-ID", "STATE", "PRODUCER", "EPOCH", "STARTED", "AGE", "COORDINATOR"}}
	for _, t := range l.Transactions {
		table.Rows = append(table.Rows, []string{
			t.ID, t.State, number(t.ProducerID), number(t.Epoch), t.started(), t.age(), number(t.Coordinator),
		})
	}
	return []output.Table{table}
}

// txnFilter are the flags that choose transactional ids.
type txnFilter struct {
	states     []string
	open       bool
	longerThan time.Duration
	match      string
}

func newTxnListCommand(c *connection) *cobra.Command {
	var options output.Options
	var filter txnFilter
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List transactional ids, and what their transactions are doing",
		Example: `  millrace txn list --open --longer-than 5m
  millrace txn list --state PrepareCommit --match '^billing-'`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			selects, err := filter.compile(cmd)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				list, err := filter.list(ctx, client, selects)
				if err != nil {
					return err
				}
				return options.Print(cmd.OutOrStdout(), list)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().StringSliceVar(&filter.states, "state", nil, "only in these states, like Ongoing,PrepareCommit")
	cmd.Flags().BoolVar(&filter.open, "open", false, "only transactions that hold back readers: begun and not ended")
	cmd.Flags().DurationVar(&filter.longerThan, "longer-than", 0, "only transactions that have been open for longer, like 5m")
	cmd.Flags().StringVar(&filter.match, "match", "", "only ids that match this regular expression")
	return cmd
}

// compile checks the flags and returns what chooses by id, age and openness; states are chosen by the broker.
func (f *txnFilter) compile(cmd *cobra.Command) (func(*txnSummary) bool, error) {
	for _, state := range f.states {
		if !slices.Contains(txnStates, state) {
			return nil, usage.Unknown("state", state, txnStates)
		}
	}
	if cmd.Flags().Changed("longer-than") && f.longerThan <= 0 {
		return nil, usage.Errorf("txn list: --longer-than must be above 0, is %v", f.longerThan)
	}
	pattern, err := regexp.Compile(f.match)
	if err != nil {
		return nil, usage.Errorf("txn list: --match: %v", err)
	}
	return func(s *txnSummary) bool {
		switch {
		case f.open && !undecided(s.State):
			return false
		case f.longerThan > 0 && (s.AgeMs == nil || *s.AgeMs <= f.longerThan.Milliseconds()):
			return false
		case len(f.states) > 0 && !slices.Contains(f.states, s.State): // changed since it was listed, or an old broker
			return false
		}
		return pattern.MatchString(s.ID)
	}, nil
}

func (f *txnFilter) list(ctx context.Context, client *kadm.Client, selects func(*txnSummary) bool) (*txnList, error) {
	list := &txnList{Transactions: []txnSummary{}}
	listed, err := client.ListTransactions(ctx, nil, f.states)
	if err != nil || len(listed) == 0 {
		return list, err
	}
	described, err := client.DescribeTransactions(ctx, listed.TransactionalIDs()...)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for _, txn := range described.Sorted() {
		if errors.Is(txn.Err, kerr.TransactionalIDNotFound) {
			continue // expired since it was listed
		}
		if txn.Err != nil {
			return nil, txn.Err
		}
		if s := summarizeTxn(txn, now); selects(&s) {
			list.Transactions = append(list.Transactions, s)
		}
	}
	return list, nil
}
