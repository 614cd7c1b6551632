package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log/record"
)

func TestDescribeProducersNamesWhoWrote(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	createTopic(t, b, "a", 1)
	for id := int64(7); id >= 6; id-- {
		batch := record.Batch(buildBatch(t, producer(id, 3, 0), "x", "y"))
		if _, err := b.partitions.lookup("a", 0).Append(batch, time.Now().UnixMilli(), partition.Client); err != nil {
			t.Fatal(err)
		}
	}
	r := kmsg.NewPtrDescribeProducersRequest()
	r.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "a", Partitions: []int32{0, 0, 9}}, {Topic: "a", Partitions: []int32{0}}, {Topic: "x", Partitions: []int32{0}}}
	answer := dial(t, b).ask(r).(*kmsg.DescribeProducersResponse)
	a := answer.Topics[0].Partitions
	if len(a) != 2 || len(answer.Topics[1].Partitions) != 0 || len(a[0].ActiveProducers) != 2 {
		t.Fatalf("each partition is answered once: %+v", answer)
	}
	for i, p := range a[0].ActiveProducers {
		if p.ProducerID != int64(6+i) || p.ProducerEpoch != 3 || p.LastSequence != 1 || p.CurrentTxnStartOffset != -1 ||
			p.CoordinatorEpoch != -1 || p.LastTimestamp <= 0 {
			t.Errorf("%+v", p)
		}
	}
	for _, p := range []kmsg.DescribeProducersResponseTopicPartition{a[1], answer.Topics[2].Partitions[0]} {
		if p.ErrorCode != kerr.UnknownTopicOrPartition.Code || p.ErrorMessage == nil {
			t.Errorf("%+v", p)
		}
	}
}

func TestWithoutTransactionsNoneAreListed(t *testing.T) {
	b := startBroker(t, Options{}, nil)
	c := dial(t, b)
	bad := "["
	for version := int16(0); version <= 2; version++ {
		list := kmsg.NewPtrListTransactionsRequest()
		list.SetVersion(version)
		list.StateFilters = []string{"Nope", "Ongoing"}
		answer := c.ask(list).(*kmsg.ListTransactionsResponse)
		if answer.ErrorCode != 0 || len(answer.TransactionStates) != 0 || len(answer.UnknownStateFilters) != 1 || answer.UnknownStateFilters[0] != "Nope" {
			t.Errorf("version %d: %+v", version, answer)
		}
		list.TransactionalIDPattern = &bad
		if answer := c.ask(list).(*kmsg.ListTransactionsResponse); version == 2 && answer.ErrorCode != kerr.InvalidRegularExpression.Code {
			t.Errorf("version %d: %+v", version, answer)
		}
	}
	describe := kmsg.NewPtrDescribeTransactionsRequest()
	describe.TransactionalIDs = []string{"a", "a", ""}
	states := c.ask(describe).(*kmsg.DescribeTransactionsResponse).TransactionStates
	if len(states) != 2 || states[0].ErrorCode != kerr.TransactionalIDNotFound.Code || states[0].TransactionalID != "a" || states[1].ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("%+v", states)
	}
}
