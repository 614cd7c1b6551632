package broker

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
)

// DescribeTransactions 0 and ListTransactions 0-2 (KIP-664, KIP-994, KIP-1152): there are no transactions, and tools
// that look for them are told so.

// transactionStates are the states that a transaction can be in.
var transactionStates = []string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort",
	"Dead", "PrepareEpochFence"}

// describeTransactions knows no transactional id.
func (b *Broker) describeTransactions(c *call, req *kmsg.DescribeTransactionsRequest) (*kmsg.DescribeTransactionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	for _, id := range distinct(req.TransactionalIDs, func(id *string) string { return *id }) {
		state := kmsg.NewDescribeTransactionsResponseTransactionState()
		state.TransactionalID = id
		err := error(kerr.TransactionalIDNotFound)
		if id == "" {
			err = fmt.Errorf("%w: a transactional id is empty", metadata.ErrInvalidRequest)
		}
		state.ErrorCode = errorCode(err)
		resp.TransactionStates = append(resp.TransactionStates, state)
	}
	return resp, nil
}

// listTransactions lists none, and says which of its filters mean nothing.
func (b *Broker) listTransactions(c *call, req *kmsg.ListTransactionsRequest) (*kmsg.ListTransactionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	if pattern := req.TransactionalIDPattern; pattern != nil {
		if _, err := regexp.Compile(*pattern); err != nil {
			resp.ErrorCode = kerr.InvalidRegularExpression.Code
			return resp, nil
		}
	}
	for _, state := range req.StateFilters {
		if !slices.Contains(transactionStates, state) {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, state)
		}
	}
	return resp, nil
}
