package broker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/txn"
	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// scriptedGate is a coordinator that says what a test wants, and remembers what it was asked.
type scriptedGate struct {
	mu     sync.Mutex
	answer func(txn.Claim) []error // nil: it agrees
	claims []txn.Claim
}

func (g *scriptedGate) confirm(_ context.Context, claim txn.Claim) []error {
	g.mu.Lock()
	g.claims = append(g.claims, claim)
	answer := g.answer
	g.mu.Unlock()
	if answer == nil {
		return make([]error, len(claim.Partitions))
	}
	return answer(claim)
}

// says makes the gate answer with an error for each partition, nil or not.
func (g *scriptedGate) says(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = func(claim txn.Claim) []error { return slices.Repeat([]error{err}, len(claim.Partitions)) }
}

// asked returns what the gate was asked since the last call, in short.
func (g *scriptedGate) asked() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := ""
	for _, c := range g.claims {
		text += fmt.Sprintf("%s %d/%d %v add=%v; ", c.TransactionalID, c.ProducerID, c.ProducerEpoch, c.Partitions, c.Add)
	}
	g.claims = nil
	return text
}

// transactionalBroker is a broker with topics t, of two partitions, and u, and a gate.
func transactionalBroker(t *testing.T) (*Broker, *client, *scriptedGate) {
	t.Helper()
	b := startBroker(t, Options{}, nil)
	gate := &scriptedGate{}
	b.gate = gate
	createTopic(t, b, "t", 2)
	createTopic(t, b, "u", 1)
	return b, dial(t, b), gate
}

// produceInTransaction is a request with a batch for partition 0 of t and, with more, the next partitions.
func produceInTransaction(b *Broker, version int16, batches ...record.Batch) *kmsg.ProduceRequest {
	r := produceRequest("t", acksAll, batches[0])
	r.SetVersion(version)
	r.TransactionID = kmsg.StringPtr("id")
	r.TimeoutMillis = 10_000
	r.Topics[0].TopicID = b.controller.image().Topic("t").ID
	for i, batch := range batches[1:] {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i+1), batch
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, p)
	}
	return r
}

func codes(response kmsg.Response) (codes []int16) {
	for _, p := range response.(*kmsg.ProduceResponse).Topics[0].Partitions {
		codes = append(codes, p.ErrorCode)
	}
	return codes
}

// TestProduceAsksTheCoordinatorOncePerPartition: about all partitions of a request at once, and not where the transaction is
// open. Up to version 11 the client has added them, then the produce does.
func TestProduceAsksTheCoordinatorOncePerPartition(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		b, c, gate := transactionalBroker(t)
		at := func(sequence int32) record.Batch { return buildBatch(t, transactional(7, 2, sequence), "v") }
		if got := codes(c.ask(produceInTransaction(b, version, at(0), at(0)))); !slices.Equal(got, []int16{0, 0}) {
			t.Errorf("version %d: errors %v", version, got)
		}
		if got, want := gate.asked(), fmt.Sprintf("id 7/2 [{t 0} {t 1}] add=%v; ", version >= 12); got != want {
			t.Errorf("version %d: asked %q, want %q", version, got, want)
		}
		if got := codes(c.ask(produceInTransaction(b, version, at(1), at(1)))); !slices.Equal(got, []int16{0, 0}) || gate.asked() != "" {
			t.Errorf("version %d: errors %v in an open transaction", version, got)
		}
		plain := produceRequest("t", acksAll, buildBatch(t, nil, "v"))
		wantCode(t, produced(t, c.ask(plain)).ErrorCode, nil)
		if asked := gate.asked(); asked != "" {
			t.Errorf("version %d: asked %q about a plain batch", version, asked)
		}
		if o := b.partitions.lookup("t", 0).Offsets(); o.LastStable != 0 || o.HighWatermark != 3 {
			t.Errorf("version %d: %+v", version, o)
		}
	}
}

// TestProduceTranslatesTheCoordinatorsErrors as Apache Kafka does, by the version of the request.
func TestProduceTranslatesTheCoordinatorsErrors(t *testing.T) {
	for _, test := range []struct {
		says    *kerr.Error
		until10 *kerr.Error
		in11    *kerr.Error
		from12  *kerr.Error
		again   bool // the client tries again: no later batch of it may pass
	}{
		{says: kerr.ProducerFenced, until10: kerr.InvalidProducerEpoch, in11: kerr.InvalidProducerEpoch, from12: kerr.InvalidProducerEpoch},
		{says: kerr.TransactionAbortable, until10: kerr.InvalidTxnState, in11: kerr.TransactionAbortable, from12: kerr.TransactionAbortable},
		{says: kerr.InvalidTxnState, until10: kerr.InvalidTxnState, in11: kerr.InvalidTxnState, from12: kerr.InvalidTxnState},
		{says: kerr.InvalidProducerIDMapping, until10: kerr.InvalidProducerIDMapping, in11: kerr.InvalidProducerIDMapping, from12: kerr.InvalidProducerIDMapping},
		{says: kerr.InvalidRequest, until10: kerr.InvalidRequest, in11: kerr.InvalidRequest, from12: kerr.InvalidRequest},
		{says: kerr.ConcurrentTransactions, until10: kerr.NotEnoughReplicas, in11: kerr.NotEnoughReplicas, from12: kerr.ConcurrentTransactions, again: true},
		{says: kerr.CoordinatorLoadInProgress, until10: kerr.NotEnoughReplicas, in11: kerr.NotEnoughReplicas, from12: kerr.NotEnoughReplicas, again: true},
		{says: kerr.CoordinatorNotAvailable, until10: kerr.NotEnoughReplicas, in11: kerr.NotEnoughReplicas, from12: kerr.NotEnoughReplicas, again: true},
		{says: kerr.NotCoordinator, until10: kerr.NotEnoughReplicas, in11: kerr.NotEnoughReplicas, from12: kerr.NotEnoughReplicas, again: true},
		{says: kerr.RequestTimedOut, until10: kerr.NotEnoughReplicas, in11: kerr.NotEnoughReplicas, from12: kerr.NotEnoughReplicas, again: true},
	} {
		b, c, gate := transactionalBroker(t)
		for version := int16(3); version <= 13; version++ {
			want := test.until10
			switch {
			case version >= 12:
				want = test.from12
			case version == 11:
				want = test.in11
			}
			id, before := int64(version), b.partitions.lookup("t", 0).Offsets().LogEnd
			gate.says(fmt.Errorf("wrapped: %w", test.says))
			answer := produced(t, c.ask(produceInTransaction(b, version, buildBatch(t, transactional(id, 0, 0), "v"))))
			if answer.ErrorCode != want.Code || answer.BaseOffset != -1 || version >= 8 && answer.ErrorMessage == nil {
				t.Errorf("version %d, the coordinator says %v: %+v, want %v", version, test.says, answer, want)
			}
			if end := b.partitions.lookup("t", 0).Offsets().LogEnd; end != before {
				t.Errorf("version %d, the coordinator says %v: log end %d", version, test.says, end)
			}
			// A batch that the client sent behind it must not take its place.
			gate.says(nil)
			var wantLater *kerr.Error
			if test.again || version >= 12 {
				wantLater = kerr.OutOfOrderSequenceNumber
			}
			later := produceInTransaction(b, version, buildBatch(t, transactional(id, 0, 1), "v"))
			wantCode(t, produced(t, c.ask(later)).ErrorCode, wantLater)
		}
	}
}

func TestProduceRefusesTransactionsOfTheWrongForm(t *testing.T) {
	b, c, gate := transactionalBroker(t)
	of := func(id int64, epoch int16, sequence int32) record.Batch {
		return buildBatch(t, transactional(id, epoch, sequence), "v")
	}
	plain := buildBatch(t, nil, "v")
	control := buildBatch(t, func(o *record.Options) { transactional(1, 0, 0)(o); o.Control = true }, "v")
	tests := []struct {
		name    string
		request func() *kmsg.ProduceRequest
		want    []*kerr.Error
		end     []int64 // of both partitions
	}{
		{"no transactional id", func() *kmsg.ProduceRequest {
			r := produceInTransaction(b, 9, of(1, 0, 0), plain)
			r.TransactionID = nil
			return r
		}, []*kerr.Error{kerr.TransactionalIDAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed}, []int64{0, 0}},
		{"two producers", func() *kmsg.ProduceRequest { return produceInTransaction(b, 9, of(1, 0, 0), of(2, 0, 0)) },
			[]*kerr.Error{kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping}, []int64{0, 0}},
		{"two epochs", func() *kmsg.ProduceRequest { return produceInTransaction(b, 9, of(1, 0, 0), of(1, 1, 0)) },
			[]*kerr.Error{kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping}, []int64{0, 0}},
		{"control batch", func() *kmsg.ProduceRequest { return produceInTransaction(b, 9, control) }, []*kerr.Error{kerr.InvalidRecord}, []int64{0, 0}},
		{"no producer id", func() *kmsg.ProduceRequest {
			return produceInTransaction(b, 9, buildBatch(t, func(o *record.Options) { o.Transactional = true }, "v"))
		}, []*kerr.Error{kerr.InvalidRecord}, []int64{0, 0}},
		{"unknown acks", func() *kmsg.ProduceRequest { r := produceInTransaction(b, 9, of(1, 0, 0)); r.Acks = 7; return r },
			[]*kerr.Error{kerr.InvalidRequiredAcks}, []int64{0, 0}},
		{"with a plain batch beside it", func() *kmsg.ProduceRequest { return produceInTransaction(b, 9, of(1, 0, 0), plain) },
			[]*kerr.Error{nil, nil}, []int64{1, 1}},
		{"plain batch of its producer", func() *kmsg.ProduceRequest {
			return produceRequest("t", acksAll, buildBatch(t, producer(1, 0, 1), "v"))
		}, []*kerr.Error{kerr.InvalidTxnState}, []int64{1, 1}},
		{"one partition unknown", func() *kmsg.ProduceRequest { return produceInTransaction(b, 9, of(1, 0, 1), of(1, 0, 0), of(1, 0, 0)) },
			[]*kerr.Error{nil, nil, kerr.UnknownTopicOrPartition}, []int64{2, 2}},
		{"old epoch", func() *kmsg.ProduceRequest {
			endTransaction(t, b, 1, record.ControlCommit)
			wantCode(t, produced(t, c.ask(produceInTransaction(b, 9, of(1, 3, 0)))).ErrorCode, nil)
			return produceInTransaction(b, 9, of(1, 2, 0))
		}, []*kerr.Error{kerr.InvalidProducerEpoch}, []int64{4, 2}},
		{"newer epoch in an open transaction", func() *kmsg.ProduceRequest { return produceInTransaction(b, 9, of(1, 4, 0)) },
			[]*kerr.Error{kerr.InvalidTxnState}, []int64{4, 2}},
		{"gap in the sequence", func() *kmsg.ProduceRequest { return produceInTransaction(b, 9, of(1, 3, 5)) },
			[]*kerr.Error{kerr.OutOfOrderSequenceNumber}, []int64{4, 2}},
		{"unknown producer of version 12 not from 0", func() *kmsg.ProduceRequest { return produceInTransaction(b, 12, of(50, 0, 5)) },
			[]*kerr.Error{kerr.OutOfOrderSequenceNumber}, []int64{4, 2}},
		{"unknown producer of version 11 not from 0", func() *kmsg.ProduceRequest { return produceInTransaction(b, 11, of(51, 0, 5)) },
			[]*kerr.Error{nil}, []int64{5, 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := codes(c.ask(test.request()))
			for i, want := range test.want {
				wantCode(t, got[i], want)
			}
			for i, want := range test.end {
				if end := b.partitions.lookup("t", int32(i)).Offsets().LogEnd; end != want {
					t.Errorf("log end of partition %d is %d, want %d", i, end, want)
				}
			}
		})
	}
	gate.asked()
	c.expectServed()
}

// TestProduceWithoutAcksOutsideItsTransactionClosesTheConnection, since the client has no other way to learn of it.
func TestProduceWithoutAcksOutsideItsTransactionClosesTheConnection(t *testing.T) {
	b, c, gate := transactionalBroker(t)
	gate.says(kerr.TransactionAbortable)
	r := produceInTransaction(b, 9, buildBatch(t, transactional(1, 0, 0), "v"))
	r.Acks = acksNone
	c.send(r)
	c.expectClosed()
	dial(t, b).expectServed()
}

// TestProduceThatWasVerifiedAndThenAborted: what the coordinator agreed to before the abort opens nothing after it (A12).
func TestProduceThatWasVerifiedAndThenAborted(t *testing.T) {
	for _, version := range []int16{9, 13} {
		b, c, gate := transactionalBroker(t)
		gate.answer = func(claim txn.Claim) []error {
			endTransaction(t, b, 1, record.ControlAbort)
			return make([]error, len(claim.Partitions))
		}
		late := buildBatch(t, transactional(1, 0, 0), "v")
		wantCode(t, produced(t, c.ask(produceInTransaction(b, version, late))).ErrorCode, kerr.InvalidTxnState)
		if o := b.partitions.lookup("t", 0).Offsets(); o.LogEnd != 1 || o.LastStable != 1 {
			t.Errorf("version %d: %+v", version, o)
		}
	}
}

// TestAnswersGoOutWhileTheCoordinatorIsAsked: those to earlier requests, committed or not; and batches stay in order.
func TestAnswersGoOutWhileTheCoordinatorIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := &slowDisk{FS: disk.NewMem(), topic: "t"}
		b, dial := brokerOn(t, files, nil)
		const asking = time.Second
		gate := &scriptedGate{answer: func(claim txn.Claim) []error {
			time.Sleep(asking)
			return make([]error, len(claim.Partitions))
		}}
		b.gate = gate
		createTopic(t, b, "t", 1)
		c := dial()
		begin := time.Now()
		files.hold()
		c.send(produceRequest("t", acksAll, buildBatch(t, nil, "before")),
			produceInTransaction(b, 9, buildBatch(t, transactional(1, 0, 0), "a")),
			produceInTransaction(b, 9, buildBatch(t, transactional(1, 0, 1), "b")))
		synctest.Wait()
		files.letGo()
		for offset, want := range []time.Duration{0, asking, asking} {
			answer := produced(t, c.receive())
			if took := time.Since(begin); answer.ErrorCode != 0 || answer.BaseOffset != int64(offset) || took != want {
				t.Errorf("%+v after %v, want offset %d after %v", answer, took, offset, want)
			}
		}
		// Nor does an answer that is ready wait to be sent together with that of the produce.
		endTransaction(t, b, 1, record.ControlCommit)
		begin = time.Now()
		c.send(apiVersionsRequest(3), produceInTransaction(b, 9, buildBatch(t, transactional(1, 0, 2), "c")))
		for _, want := range []time.Duration{0, asking} {
			c.receive()
			if took := time.Since(begin); took != want {
				t.Errorf("answered after %v, want %v", took, want)
			}
		}
	})
}

// TestATimeoutBeginsAfterTheCoordinatorWasAsked: what was written in time is not called late.
func TestATimeoutBeginsAfterTheCoordinatorWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dial := brokerOn(t, disk.NewMem(), nil)
		gate := &scriptedGate{}
		gate.answer = func(claim txn.Claim) []error {
			time.Sleep(20 * time.Second)
			return make([]error, len(claim.Partitions))
		}
		b.gate = gate
		createTopic(t, b, "t", 1)
		r := produceInTransaction(b, 9, buildBatch(t, transactional(1, 0, 0), "a"))
		wantCode(t, produced(t, dial().ask(r)).ErrorCode, nil)
	})
}
