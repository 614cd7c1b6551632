package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/group"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/broker/internal/txn"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// TxnOffsetCommit 0-6 (KIP-98 transactions, KIP-447 member and generation, KIP-890 verified or added here, KIP-516 topic
// ids).

const (
	firstTxnOffsetCommitVersionLoading   = 2 // COORDINATOR_LOAD_IN_PROGRESS is understood
	firstTxnOffsetCommitVersionAbortable = 4 // TRANSACTION_ABORTABLE is understood
	firstTxnOffsetCommitVersionAdds      = 5 // the request adds the group to the transaction itself
	firstTxnOffsetCommitVersionTopicIDs  = 6
)

// txnOffsetCommit stores offsets that count once the producer's transaction is committed.
func (b *Broker) txnOffsetCommit(c *call, req *kmsg.TxnOffsetCommitRequest) (*kmsg.TxnOffsetCommitResponse, error) {
	offsets := transactionalCommit{b: b, version: c.version, req: req}
	codes, err := offsets.commit(c.ctx)
	response := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	for i, t := range req.Topics {
		topic := kmsg.NewTxnOffsetCommitResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for j, p := range t.Partitions {
			partition := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, codes[i][j]
			if err != nil && partition.ErrorCode == 0 {
				partition.ErrorCode = offsets.code(err)
			}
			topic.Partitions = append(topic.Partitions, partition)
		}
		response.Topics = append(response.Topics, topic)
	}
	return response, nil
}

// transactionalCommit is one request to commit offsets with a transaction.
type transactionalCommit struct {
	b       *Broker
	version int16
	req     *kmsg.TxnOffsetCommitRequest
}

// commit returns a code for each partition of the request; the error is for those that have none.
func (t *transactionalCommit) commit(ctx context.Context) (codes [][]int16, err error) {
	codes, _, found := t.places(t.b.controller.image())
	if len(found.Offsets) == 0 {
		return codes, nil
	}
	if t.req.Group == "" {
		return codes, fmt.Errorf("%w: empty group id", kerr.InvalidGroupID)
	}
	verified, err := t.verify(ctx)
	if err != nil {
		return codes, err
	}
	by := group.Producer{ID: t.req.ProducerID, Epoch: t.req.ProducerEpoch, Verified: verified}
	type outcome struct {
		codes [][]int16
		err   error
	}
	// As for other commits, whether a partition exists is looked up in the shard's goroutine: a deletion that comes later
	// finds the offset and takes it along.
	stored, err := askGroupNow(ctx, t.b.groups, t.req.Group, func(s *group.State) outcome {
		codes, places, commit := t.places(t.b.controller.image())
		code, each, err := s.CommitInTransaction(commit, by)
		for i, place := range places {
			*place = int16(code)
			if code == group.None && err == nil {
				*place = int16(each[i])
			}
		}
		return outcome{codes, err}
	})
	if err != nil {
		return codes, err
	}
	return stored.codes, stored.err
}

// places returns a code for each partition of the request, and for each offset of a partition that exists the place of its
// code.
func (t *transactionalCommit) places(image *metadata.Image) ([][]int16, []*int16, group.CommitRequest) {
	commit := group.CommitRequest{
		Group: t.req.Group, MemberID: t.req.MemberID, InstanceID: text(t.req.InstanceID), Generation: t.req.Generation, RetentionMs: -1,
	}
	topics := make([]kmsg.OffsetCommitRequestTopic, len(t.req.Topics))
	for i, wanted := range t.req.Topics {
		topics[i].Topic, topics[i].TopicID = wanted.Topic, wanted.TopicID
		for _, p := range wanted.Partitions {
			topics[i].Partitions = append(topics[i].Partitions, kmsg.OffsetCommitRequestTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata,
			})
		}
	}
	codes, places := commitPlaces(image, topics, t.version >= firstTxnOffsetCommitVersionTopicIDs, &commit)
	return codes, places, commit
}

// verify makes sure that the group's partition of __consumer_offsets is in the producer's open transaction, so that there
// will be a marker. Nil: it is known to be.
func (t *transactionalCommit) verify(ctx context.Context) (*partition.Verification, error) {
	shards, err := t.b.groups.ensure(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", kerr.CoordinatorNotAvailable, err)
	}
	index := shardIndex(t.req.Group, int32(len(shards.all)))
	p := t.b.partitions.lookup(metadata.OffsetsTopic, index)
	if p == nil {
		return nil, fmt.Errorf("verify a transaction in %s-%d: %w", metadata.OffsetsTopic, index, kerr.CoordinatorNotAvailable)
	}
	verified, err := p.BeginVerification(t.req.ProducerID, t.req.ProducerEpoch, record.NoSequence, false)
	if verified == nil || err != nil {
		return nil, err
	}
	err = t.b.transactions.confirm(ctx, txn.Claim{
		TransactionalID: t.req.TransactionalID,
		ProducerID:      t.req.ProducerID,
		ProducerEpoch:   t.req.ProducerEpoch,
		Partitions:      []txn.Partition{{Topic: metadata.OffsetsTopic, Partition: index}},
		Add:             t.version >= firstTxnOffsetCommitVersionAdds,
		Version:         t.transactionVersion(),
	})[0]
	if err != nil && !mayAskAgain(err) {
		p.EndVerification(t.req.ProducerID, verified)
	}
	return verified, err
}

// transactionVersion is the version of the transactions that the client speaks.
func (t *transactionalCommit) transactionVersion() int16 {
	if t.version >= firstTxnOffsetCommitVersionAdds {
		return 2
	}
	return 0
}

// code is what a client of the request's version is told of an error.
func (t *transactionalCommit) code(err error) int16 {
	switch {
	case errors.Is(err, kerr.ProducerFenced):
		return kerr.InvalidProducerEpoch.Code // of the coordinator; producers expect what a partition says
	case errors.Is(err, kerr.TransactionAbortable) && t.version < firstTxnOffsetCommitVersionAbortable:
		return kerr.InvalidTxnState.Code
	case errors.Is(err, kerr.CoordinatorLoadInProgress) && t.version < firstTxnOffsetCommitVersionLoading,
		errors.Is(err, kerr.RequestTimedOut), errors.Is(err, log.ErrFull):
		return kerr.CoordinatorNotAvailable.Code
	case errors.Is(err, partition.ErrOffline), errors.Is(err, partition.ErrFailed), errors.Is(err, partition.ErrClosed):
		return kerr.NotCoordinator.Code
	}
	return errorCode(err)
}
