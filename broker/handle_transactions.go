package broker

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/txn"
)

// DescribeTransactions 0 and ListTransactions 0-2 (KIP-664, KIP-994, KIP-1152).

// describeTransactions tells of transactional ids what they are about.
func (b *Broker) describeTransactions(c *call, req *kmsg.DescribeTransactionsRequest) (*kmsg.DescribeTransactionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	for _, id := range distinct(req.TransactionalIDs, func(id *string) string { return *id }) {
		resp.TransactionStates = append(resp.TransactionStates, b.describeTransaction(c.ctx, id))
	}
	return resp, nil
}

func (b *Broker) describeTransaction(ctx context.Context, id string) kmsg.DescribeTransactionsResponseTransactionState {
	state := kmsg.NewDescribeTransactionsResponseTransactionState()
	state.TransactionalID = id
	description, err := b.transactions.describe(ctx, id)
	if err != nil {
		state.ErrorCode = errorCode(err)
		return state
	}
	state.State = description.Phase.String()
	state.ProducerID, state.ProducerEpoch = description.ProducerID, description.ProducerEpoch
	state.TimeoutMillis, state.StartTimestamp = description.TimeoutMs, description.StartMs
	for _, p := range description.Partitions { // sorted
		if last := len(state.Topics) - 1; last < 0 || state.Topics[last].Topic != p.Topic {
			topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
			topic.Topic = p.Topic
			state.Topics = append(state.Topics, topic)
		}
		topic := &state.Topics[len(state.Topics)-1]
		topic.Partitions = append(topic.Partitions, p.Partition)
	}
	return state
}

// describe returns what is known of a transactional id. It makes no __transaction_state where there is none.
func (t *transactionCoordinator) describe(ctx context.Context, id string) (txn.Description, error) {
	switch {
	case id == "":
		return txn.Description{}, errEmptyTransactionalID
	case t.loaded.Load() == nil:
		return txn.Description{}, kerr.TransactionalIDNotFound
	}
	type answer struct {
		description txn.Description
		code        txn.Code
	}
	a, err := askTransaction[answer](ctx, t, id, func(s *txn.State, _ txn.Ticket) any {
		description, code := s.Describe(id)
		return answer{description, code}
	})
	if err == nil {
		err = kerr.ErrorForCode(int16(a.code))
	}
	return a.description, err
}

// listTransactions lists the transactional ids that pass all filters, and says which filters mean nothing.
func (b *Broker) listTransactions(c *call, req *kmsg.ListTransactionsRequest) (*kmsg.ListTransactionsResponse, error) {
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	filter := txn.Filter{DurationMs: req.DurationFilterMillis}
	if len(req.ProducerIDFilters) > 0 {
		filter.ProducerIDs = slices.Sorted(slices.Values(req.ProducerIDFilters))
	}
	matches := func(string) bool { return true }
	if pattern := req.TransactionalIDPattern; pattern != nil && *pattern != "" {
		matcher, err := regexp.Compile("^(?:" + *pattern + ")$")
		if err != nil {
			resp.ErrorCode = kerr.InvalidRegularExpression.Code
			return resp, nil
		}
		matches = matcher.MatchString
	}
	if len(req.StateFilters) > 0 {
		filter.Phases = []txn.Phase{} // if none of those named exists, nothing is listed
	}
	for _, name := range req.StateFilters {
		if phase, known := txn.PhaseNamed(name); known && !slices.Contains(filter.Phases, phase) {
			filter.Phases = append(filter.Phases, phase)
		} else if !known {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, name)
		}
	}
	listings, err := survey(c.ctx, b.transactions.shardedTopic, func(s *txn.State) []txn.Listing { return s.List(filter) })
	if err != nil {
		resp.ErrorCode = errorCode(err)
		return resp, nil
	}
	// Not in the shards, which would have no time for anybody's transactions: a pattern may take a second for each id.
	listings = slices.DeleteFunc(listings, func(l txn.Listing) bool { return !matches(l.TransactionalID) })
	slices.SortFunc(listings, func(a, b txn.Listing) int { return strings.Compare(a.TransactionalID, b.TransactionalID) })
	for _, l := range listings {
		state := kmsg.NewListTransactionsResponseTransactionState()
		state.TransactionalID, state.ProducerID, state.TransactionState = l.TransactionalID, l.ProducerID, l.Phase.String()
		resp.TransactionStates = append(resp.TransactionStates, state)
	}
	return resp, nil
}
