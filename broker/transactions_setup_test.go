package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/log/record"
)

// transactor is a transactional producer that speaks the bare protocol: the older one, or KIP-890's.
type transactor struct {
	t     testing.TB
	c     *client
	id    string
	newer bool // KIP-890's

	producerID int64
	epoch      int16
	sequences  map[string]map[int32]int32
}

func newTransactor(t testing.TB, c *client, id string, newer bool) *transactor {
	return &transactor{t: t, c: c, id: id, newer: newer, producerID: -1, epoch: -1}
}

// bothProtocols runs a test with the older protocol and with KIP-890's.
func bothProtocols(t *testing.T, test func(t *testing.T, newer bool)) {
	for name, newer := range map[string]bool{"older": false, "newer": true} {
		t.Run(name, func(t *testing.T) { test(t, newer) })
	}
}

// pick is older or newer, as the protocol is.
func pick[V any](x *transactor, older, newer V) V {
	if x.newer {
		return newer
	}
	return older
}

func (x *transactor) initRequest() *kmsg.InitProducerIDRequest {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.SetVersion(pick[int16](x, 4, 5))
	r.TransactionalID, r.TransactionTimeoutMillis = &x.id, 60_000
	return r
}

// init gets a producer id, and asks again while the transaction before is aborted.
func (x *transactor) init() {
	x.t.Helper()
	for {
		answer := x.c.ask(x.initRequest()).(*kmsg.InitProducerIDResponse)
		if answer.ErrorCode == kerr.ConcurrentTransactions.Code {
			continue
		}
		wantNone(x.t, "InitProducerId", answer.ErrorCode)
		x.producerID, x.epoch, x.sequences = answer.ProducerID, answer.ProducerEpoch, map[string]map[int32]int32{}
		return
	}
}

func wantNone(t testing.TB, what string, code int16) {
	t.Helper()
	if err := kerr.ErrorForCode(code); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func (x *transactor) addRequest(topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.SetVersion(3)
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = x.id, x.producerID, x.epoch
	r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	return r
}

// add makes partitions part of the transaction and returns the first code.
func (x *transactor) add(topic string, partitions ...int32) int16 {
	x.t.Helper()
	answer := x.c.ask(x.addRequest(topic, partitions...)).(*kmsg.AddPartitionsToTxnResponse)
	return answer.Topics[0].Partitions[0].ErrorCode
}

// batch is the next batch of the producer for a partition.
func (x *transactor) batch(topic string, partition int32, values ...string) record.Batch {
	if x.sequences[topic] == nil {
		x.sequences[topic] = map[int32]int32{}
	}
	sequence := x.sequences[topic][partition]
	x.sequences[topic][partition] += int32(len(values))
	return buildBatch(x.t, func(o *record.Options) {
		producer(x.producerID, x.epoch, sequence)(o)
		o.Transactional = true
	}, values...)
}

func (x *transactor) produceRequest(topic string, partition int32, batch record.Batch) *kmsg.ProduceRequest {
	r := produceRequest(topic, acksAll, batch)
	r.SetVersion(pick[int16](x, 11, 12))
	r.TransactionID = &x.id
	r.Topics[0].Partitions[0].Partition = partition
	return r
}

// produce writes to a partition, which the older protocol adds to the transaction first.
func (x *transactor) produce(topic string, partition int32, values ...string) {
	x.t.Helper()
	if !x.newer {
		wantNone(x.t, "AddPartitionsToTxn", x.add(topic, partition))
	}
	wantNone(x.t, "Produce", produced(x.t, x.c.ask(x.produceRequest(topic, partition, x.batch(topic, partition, values...)))).ErrorCode)
}

func (x *transactor) endRequest(commit bool) *kmsg.EndTxnRequest {
	r := kmsg.NewPtrEndTxnRequest()
	r.SetVersion(pick[int16](x, 4, 5))
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = x.id, x.producerID, x.epoch, commit
	return r
}

// end decides the transaction and returns the code. The next one of KIP-890's protocol has the epoch that is answered.
func (x *transactor) end(commit bool) int16 {
	x.t.Helper()
	answer := x.c.ask(x.endRequest(commit)).(*kmsg.EndTxnResponse)
	if x.newer && answer.ErrorCode == 0 {
		x.producerID, x.epoch, x.sequences = answer.ProducerID, answer.ProducerEpoch, map[string]map[int32]int32{}
	}
	return answer.ErrorCode
}

func (x *transactor) commit() {
	x.t.Helper()
	wantNone(x.t, "EndTxn", x.end(true))
}

// awaitQuiet waits until nothing is undecided in any partition: the last stable offset is the high watermark.
func awaitQuiet(t testing.TB, b *Broker) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		unstable := ""
		for _, p := range b.partitions.sorted() {
			if o := p.Offsets(); p.Err() == nil && (o.LastStable != o.HighWatermark || o.HighWatermark != o.LogEnd) {
				unstable = p.Topic()
			}
		}
		if unstable == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s has an open transaction", unstable)
		case <-time.After(time.Millisecond):
		}
	}
}
