package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/broker/internal/txn"
	"github.com/millrace/millrace/log/record"
)

// The part of Produce that is about transactions (KIP-98, KIP-890). A batch of a transaction that is not open yet in its
// partition is appended only if the transaction coordinator agrees: up to version 11 the client must have added the partition,
// from version 12 on the produce itself adds it. All partitions of a request are asked about at once. The connection's next
// request waits meanwhile, so that a producer's batches stay in order; answers to earlier ones go out.

// Versions of Produce from which on a client understands TRANSACTION_ABORTABLE, and leaves it to the broker to add partitions.
const (
	firstProduceVersionAbortable = 11
	firstProduceVersionAdds      = 12
)

// transactionGate is the transaction coordinator, as those see it who write into transactions.
type transactionGate interface {
	// confirm returns for each of the claim's partitions, in order, why the producer may not write there, or nil. The errors
	// wrap Kafka's. It does not wait for long.
	confirm(ctx context.Context, claim txn.Claim) []error
}

// entry is whether a batch may be appended as one of a transaction.
type entry struct {
	verification *partition.Verification // nil: none is needed, or it is not of a transaction
	err          error                   // why it may not
}

// entries are those of a produce request, in the order of its partitions; nil if none is of a transaction.
type entries []entry

func (e entries) at(i int) entry {
	if e == nil {
		return entry{}
	}
	return e[i]
}

// entering is a produce request on its way into a transaction.
type entering struct {
	broker  *Broker
	call    *call
	entries entries
	claim   txn.Claim
	claimed []claimed // what the claim's partitions are about
}

type claimed struct {
	partition *partition.Partition
	entry     int
}

// enter asks the coordinator about the batches of req that belong to a transaction. An error refuses the whole request.
func (b *Broker) enter(c *call, req *kmsg.ProduceRequest) (entries, error) {
	first, err := transactionalBatch(req)
	switch {
	case err != nil:
		return nil, err
	case first == nil:
		return nil, nil
	case req.TransactionID == nil:
		return nil, refused(kerr.TransactionalIDAuthorizationFailed, "transactional batch in a request without a transactional id")
	}
	e := entering{broker: b, call: c, claim: txn.Claim{
		TransactionalID: *req.TransactionID,
		ProducerID:      first.ProducerID(),
		ProducerEpoch:   first.ProducerEpoch(),
	}}
	if c.version >= firstProduceVersionAdds {
		e.claim.Add, e.claim.Version = true, 2
	}
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			e.begin(&req.Topics[i], j)
		}
	}
	e.ask()
	return e.entries, nil
}

// transactionalBatch returns a batch of a transaction, nil if there is none: nearly always after one look at each header.
// All must be of one producer.
func transactionalBatch(req *kmsg.ProduceRequest) (first record.Batch, err error) {
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			batch, _, err := record.Next(req.Topics[i].Partitions[j].Records)
			switch {
			case err != nil || !batch.IsTransactional() || batch.ProducerID() < 0: // refused in its turn, or plain
			case first == nil:
				first = batch
			case batch.ProducerID() != first.ProducerID() || batch.ProducerEpoch() != first.ProducerEpoch():
				return nil, refused(kerr.InvalidProducerIDMapping, "transactional batches of producers %d epoch %d and %d epoch %d in one request",
					first.ProducerID(), first.ProducerEpoch(), batch.ProducerID(), batch.ProducerEpoch())
			}
		}
	}
	return first, nil
}

// begin makes the entry of a batch. What is wrong with it in other ways is told when it is appended.
func (e *entering) begin(topic *kmsg.ProduceRequestTopic, i int) {
	e.entries = append(e.entries, entry{})
	in := &topic.Partitions[i]
	p, name, err := e.broker.produceTo(e.call, topic, in.Partition)
	if err != nil {
		return
	}
	batch, err := onlyBatch(in.Records, e.call.version)
	if err != nil || !batch.IsTransactional() || batch.ProducerID() < 0 {
		return
	}
	own := &e.entries[len(e.entries)-1]
	own.verification, own.err = p.BeginVerification(batch.ProducerID(), batch.ProducerEpoch(), batch.BaseSequence(), e.claim.Add)
	if own.verification != nil {
		e.claim.Partitions = append(e.claim.Partitions, txn.Partition{Topic: name, Partition: in.Partition})
		e.claimed = append(e.claimed, claimed{p, len(e.entries) - 1})
	}
}

// ask puts the claim to the coordinator, unless the transaction is open wherever the request writes.
func (e *entering) ask() {
	if len(e.claimed) == 0 {
		return
	}
	begin := time.Now()
	for i, err := range e.broker.gate.confirm(e.call.ctx, e.claim) {
		if err == nil {
			continue
		}
		own := &e.entries[e.claimed[i].entry]
		own.err = produceRefusal(err, e.call.version)
		if !mayAskAgain(err) {
			e.claimed[i].partition.EndVerification(e.claim.ProducerID, own.verification)
		}
	}
	e.call.waited += time.Since(begin)
}

// coordinatorElsewhere are the errors of a coordinator that cannot be asked now.
var coordinatorElsewhere = []error{kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
	kerr.NetworkException, kerr.RequestTimedOut, context.DeadlineExceeded, context.Canceled}

func mayAskAgain(err error) bool {
	return wrapsAny(err, coordinatorElsewhere) || errors.Is(err, kerr.ConcurrentTransactions)
}

func wrapsAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// produceRefusal is what a producer is told of the coordinator's error, as by Kafka's AddPartitionsToTxnManager and
// ReplicaManager: NOT_ENOUGH_REPLICAS is an error that every client retries without asking for metadata first.
func produceRefusal(err error, version int16) error {
	switch {
	case errors.Is(err, kerr.ProducerFenced):
		return refused(kerr.InvalidProducerEpoch, "%v", err)
	case errors.Is(err, kerr.TransactionAbortable) && version < firstProduceVersionAbortable:
		return refused(kerr.InvalidTxnState, "partition was not added to the transaction: %v", err)
	case wrapsAny(err, coordinatorElsewhere), errors.Is(err, kerr.ConcurrentTransactions) && version < firstProduceVersionAdds:
		return refused(kerr.NotEnoughReplicas, "not known whether the partition was added to the transaction: %v", err)
	}
	return err
}
