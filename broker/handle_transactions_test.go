package broker

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTransactionsAreListedAndDescribed(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "t", 3)
	c := dial(t, b)
	open, idle := newTransactor(t, c, "orders-open", false), newTransactor(t, c, "orders-idle", false)
	open.init()
	idle.init()
	wantNone(t, "AddPartitionsToTxn", open.add("t", 2, 0))
	list := func(version int16, change func(*kmsg.ListTransactionsRequest)) (ids []string) {
		r := kmsg.NewPtrListTransactionsRequest()
		r.SetVersion(version)
		change(r)
		answer := c.ask(r).(*kmsg.ListTransactionsResponse)
		wantNone(t, "ListTransactions", answer.ErrorCode)
		for _, s := range answer.TransactionStates {
			ids = append(ids, s.TransactionalID+" "+s.TransactionState)
		}
		return ids
	}
	pattern := func(p string) func(*kmsg.ListTransactionsRequest) {
		return func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = &p }
	}
	both := []string{"orders-idle Empty", "orders-open Ongoing"}
	for name, test := range map[string]struct{ got, want []string }{
		"all":            {list(0, func(*kmsg.ListTransactionsRequest) {}), both},
		"ongoing":        {list(0, func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing", "Nope"} }), both[1:]},
		"no known state": {list(0, func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Nope"} }), nil},
		"producer":       {list(1, func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{idle.producerID} }), both[:1]},
		"producers, in no order": {list(1, func(r *kmsg.ListTransactionsRequest) {
			r.ProducerIDFilters = []int64{1 << 40, idle.producerID, open.producerID, -1}
		}), both},
		"a state twice": {list(0, func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing", "Ongoing"} }), both[1:]},
		"long": {list(1, func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = 60_000 }), list(1, func(r *kmsg.ListTransactionsRequest) {
			r.DurationFilterMillis = 60_000
			r.StateFilters = []string{"Empty"}
		})},
		"whole pattern":   {list(2, pattern("orders-.*")), both},
		"part of an id":   {list(2, pattern("orders")), nil},
		"one alternative": {list(2, pattern("a|orders-idle")), both[:1]},
		"empty pattern":   {list(2, pattern("")), both},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s: %q, want %q", name, test.got, test.want)
		}
	}
	r := kmsg.NewPtrDescribeTransactionsRequest()
	r.TransactionalIDs = []string{"orders-open", "nobody", "orders-idle"}
	states := c.ask(r).(*kmsg.DescribeTransactionsResponse).TransactionStates
	s := states[0]
	if s.State != "Ongoing" || s.ProducerID != open.producerID || s.ProducerEpoch != open.epoch || s.TimeoutMillis != 60_000 || s.StartTimestamp <= 0 ||
		len(s.Topics) != 1 || s.Topics[0].Topic != "t" || !slices.Equal(s.Topics[0].Partitions, []int32{0, 2}) {
		t.Errorf("%+v", s)
	}
	if states[1].ErrorCode != kerr.TransactionalIDNotFound.Code || states[2].State != "Empty" || states[2].StartTimestamp != -1 || len(states[2].Topics) != 0 {
		t.Errorf("%+v", states[1:])
	}
}
