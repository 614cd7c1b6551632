package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/txn"
)

// AddPartitionsToTxn 0-5, AddOffsetsToTxn 0-4, EndTxn 0-5 (KIP-98, KIP-588, KIP-890).

const (
	// firstAddVersionBatched is the first version of AddPartitionsToTxn that is about several transactions. It is sent by
	// brokers, which may name internal topics.
	firstAddVersionBatched = 4
	// firstEndVersionBumps is the first version of EndTxn that begins the next transaction in a new epoch.
	firstEndVersionBumps = 5
	// firstTxnVersionFenced is the first version of the three requests whose clients know PRODUCER_FENCED.
	firstTxnVersionFenced = 2

	// transactionVersionBumps is the level of transaction.version at which each transaction has an epoch of its own.
	transactionVersionBumps = 2
)

// addPartitionsToTxn makes partitions part of transactions, or says whether they are. Either all of a transaction's
// partitions are added or none.
func (b *Broker) addPartitionsToTxn(c *call, req *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	response := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if c.version < firstAddVersionBatched {
		claim := txn.Claim{TransactionalID: req.TransactionalID, ProducerID: req.ProducerID, ProducerEpoch: req.ProducerEpoch, Add: true}
		for _, topic := range req.Topics {
			claim.Partitions = append(claim.Partitions, partitionsOf(topic.Topic, topic.Partitions)...)
		}
		claim.Partitions = distinct(claim.Partitions, func(p *txn.Partition) txn.Partition { return *p })
		codes := b.addPartitions(c, claim)
		for _, topic := range byTopic(claim.Partitions, codes) {
			older := kmsg.AddPartitionsToTxnResponseTopic{Topic: topic.Topic}
			for _, p := range topic.Partitions {
				older.Partitions = append(older.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition(p))
			}
			response.Topics = append(response.Topics, older)
		}
		return response, nil
	}
	transactions := distinct(req.Transactions, func(t *kmsg.AddPartitionsToTxnRequestTransaction) string { return t.TransactionalID })
	for _, transaction := range transactions {
		claim := txn.Claim{
			TransactionalID: transaction.TransactionalID,
			ProducerID:      transaction.ProducerID,
			ProducerEpoch:   transaction.ProducerEpoch,
			Add:             !transaction.VerifyOnly,
			Version:         transactionVersionBumps,
		}
		for _, topic := range transaction.Topics {
			claim.Partitions = append(claim.Partitions, partitionsOf(topic.Topic, topic.Partitions)...)
		}
		claim.Partitions = distinct(claim.Partitions, func(p *txn.Partition) txn.Partition { return *p })
		result := kmsg.NewAddPartitionsToTxnResponseTransaction()
		result.TransactionalID = transaction.TransactionalID
		result.Topics = byTopic(claim.Partitions, b.addPartitions(c, claim))
		response.Transactions = append(response.Transactions, result)
	}
	return response, nil
}

// addPartitions carries out a claim and returns a code for each of its partitions. What cannot be part of a transaction
// keeps the others out of it.
func (b *Broker) addPartitions(c *call, claim txn.Claim) []int16 {
	codes := make([]int16, len(claim.Partitions))
	image, impossible := b.controller.image(), false
	for i, at := range claim.Partitions {
		switch {
		case c.version < firstAddVersionBatched && isInternalTopic(at.Topic):
			codes[i] = kerr.TopicAuthorizationFailed.Code
		case image.CheckPartition(at.Topic, at.Partition) != nil:
			codes[i] = kerr.UnknownTopicOrPartition.Code
		default:
			continue
		}
		impossible = true
	}
	if impossible {
		for i := range codes {
			if codes[i] == 0 {
				codes[i] = kerr.OperationNotAttempted.Code
			}
		}
		return codes
	}
	for i, err := range b.transactions.claim(c.ctx, claim) {
		codes[i] = fencedCode(err, c.version, firstTxnVersionFenced)
	}
	return codes
}

func partitionsOf(topic string, indexes []int32) []txn.Partition {
	partitions := make([]txn.Partition, len(indexes))
	for i, index := range indexes {
		partitions[i] = txn.Partition{Topic: topic, Partition: index}
	}
	return partitions
}

// byTopic puts partitions with their codes together by topic, each at its first mention.
func byTopic(partitions []txn.Partition, codes []int16) []kmsg.AddPartitionsToTxnResponseTransactionTopic {
	var topics []kmsg.AddPartitionsToTxnResponseTransactionTopic
	at := map[string]int{}
	for i, p := range partitions {
		index, known := at[p.Topic]
		if !known {
			index = len(topics)
			at[p.Topic] = index
			topics = append(topics, kmsg.AddPartitionsToTxnResponseTransactionTopic{Topic: p.Topic})
		}
		partition := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
		partition.Partition, partition.ErrorCode = p.Partition, codes[i]
		topics[index].Partitions = append(topics[index].Partitions, partition)
	}
	return topics
}

// addOffsetsToTxn makes the offsets of a group part of a transaction.
func (b *Broker) addOffsetsToTxn(c *call, req *kmsg.AddOffsetsToTxnRequest) (*kmsg.AddOffsetsToTxnResponse, error) {
	response := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	response.ErrorCode = fencedCode(b.addOffsets(c.ctx, req), c.version, firstTxnVersionFenced)
	return response, nil
}

func (b *Broker) addOffsets(ctx context.Context, req *kmsg.AddOffsetsToTxnRequest) error {
	offsets, err := b.groups.available(ctx)
	if err != nil {
		return err
	}
	return b.transactions.claim(ctx, txn.Claim{
		TransactionalID: req.TransactionalID,
		ProducerID:      req.ProducerID,
		ProducerEpoch:   req.ProducerEpoch,
		Partitions:      []txn.Partition{{Topic: metadata.OffsetsTopic, Partition: shardIndex(req.Group, int32(len(offsets.all)))}},
		Add:             true,
	})[0]
}

// endTxn decides a transaction. It is answered when readers see the outcome, or when the decision is on disk and the
// markers take too long (txn.EndWaitMs).
func (b *Broker) endTxn(c *call, req *kmsg.EndTxnRequest) (*kmsg.EndTxnResponse, error) {
	response := req.ResponseKind().(*kmsg.EndTxnResponse)
	end := txn.EndRequest{
		TransactionalID: req.TransactionalID,
		ProducerID:      req.ProducerID,
		ProducerEpoch:   req.ProducerEpoch,
		Commit:          req.Commit,
	}
	if c.version >= firstEndVersionBumps {
		end.Version = transactionVersionBumps
	}
	response.ProducerID, response.ProducerEpoch = -1, -1
	answer, err := b.endTransaction(c, end)
	if err != nil {
		response.ErrorCode = fencedCode(err, c.version, firstTxnVersionFenced)
		return response, nil
	}
	response.ProducerID, response.ProducerEpoch = answer.ProducerID, answer.ProducerEpoch
	return response, nil
}

func (b *Broker) endTransaction(c *call, end txn.EndRequest) (txn.EndAnswer, error) {
	b.stockProducerIDs(c.ctx)
	answer, err := askTransaction[txn.EndAnswer](c.ctx, b.transactions, end.TransactionalID,
		func(s *txn.State, to txn.Ticket) any { return s.End(to, end) })
	if err == nil {
		err = kerr.ErrorForCode(int16(answer.Code))
	}
	return answer, err
}
