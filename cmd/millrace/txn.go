package main

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newTxnCommand(c *connection) *cobra.Command {
	return newParentCommand("txn", "List, describe and abort transactions, and find who writes to a topic",
		newTxnListCommand(c),
		newTxnDescribeCommand(c),
		newTxnProducersCommand(c),
		newTxnAbortCommand(c),
	)
}

// txnSummary is one transactional id. Age and start are null unless a transaction is open or being ended.
type txnSummary struct {
	ID          string `json:"transactional_id"`
	State       string `json:"state"`
	ProducerID  int64  `json:"producer_id"`
	Epoch       int16  `json:"producer_epoch"`
	TimeoutMs   int32  `json:"timeout_ms"`
	StartedMs   *int64 `json:"started_ms"`
	AgeMs       *int64 `json:"age_ms"`
	Coordinator int32  `json:"coordinator"`
}

// summarizeTxn takes what the coordinator says, and the time of day by which ages are counted.
func summarizeTxn(txn kadm.DescribedTransaction, now time.Time) txnSummary {
	s := txnSummary{
		ID: txn.TxnID, State: txn.State, ProducerID: txn.ProducerID, Epoch: txn.ProducerEpoch, TimeoutMs: txn.TimeoutMillis,
		Coordinator: txn.Coordinator,
	}
	if started := txn.StartTimestamp; started >= 0 && undecided(txn.State) {
		age := max(now.UnixMilli()-started, 0)
		s.StartedMs, s.AgeMs = &started, &age
	}
	return s
}

// undecided reports whether a transaction in that state still holds back readers.
func undecided(state string) bool {
	switch state {
	case "Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence":
		return true
	}
	return false
}

// started and age are columns of a table.
func (s *txnSummary) started() string {
	if s.StartedMs == nil {
		return "-"
	}
	return timestampText(*s.StartedMs)
}

func (s *txnSummary) age() string {
	if s.AgeMs == nil {
		return "-"
	}
	return (time.Duration(*s.AgeMs) * time.Millisecond).Round(time.Second).String()
}

// unknownTransaction returns the error for a transactional id that no coordinator knows.
func unknownTransaction(ctx context.Context, client *kadm.Client, id string) error {
	existing, err := client.ListTransactions(ctx, nil, nil)
	if err != nil {
		return fmt.Errorf("unknown transactional id %q", id)
	}
	return fmt.Errorf("unknown transactional id %q%s", id, usage.Hint(id, existing.TransactionalIDs()))
}
