package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/broker/internal/quota"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// Produce 3-13 (KIP-98 idempotence, KIP-110 zstd, KIP-467 record errors, KIP-516 topic ids).
//
// A produce has two phases: the connection's reader validates and appends; its writer waits until what was appended
// is committed. So the next request is appended while this one waits for its sync, and one sync serves many.

const (
	firstProduceVersionZstd     = 7
	firstProduceVersionTopicIDs = 13

	// adminClientID is by convention allowed to write to internal topics.
	adminClientID = "__admin_client"

	// commitWaitMin is how long a produce waits for its commit at least. Kafka's timeout bounds the wait for followers
	// and never the leader's own write, which here is the sync: a client may well give it no time at all.
	commitWaitMin = time.Second
)

// Values of a produce request's acks.
const (
	acksAll    int16 = -1
	acksNone   int16 = 0
	acksLeader int16 = 1
)

var errInternalTopic = fmt.Errorf("%w: clients may not write to an internal topic", kerr.InvalidTopicException)

// produce appends each batch and answers once they are committed. With acks=0 there is no answer, and an error closes
// the connection: the client has no other way to learn of it.
func (b *Broker) produce(c *call, req *kmsg.ProduceRequest) (reply, error) {
	response := req.ResponseKind().(*kmsg.ProduceResponse)
	pending := &pendingProduce{response: response}
	var entered entries
	refusal := error(kerr.InvalidRequiredAcks)
	if req.Acks == acksAll || req.Acks == acksNone || req.Acks == acksLeader {
		entered, refusal = b.enter(c, req)
	}
	if req.Acks == acksAll {
		pending.deadline = c.now.Add(c.waited + max(time.Duration(req.TimeoutMillis)*time.Millisecond, commitWaitMin))
	}
	failure := b.produceAll(c, req, entered, refusal, pending)
	b.use(c, quota.Produce, float64(c.bytes)) // it is taken already: who sent it rests before the next
	switch {
	case req.Acks == acksNone && failure != nil:
		return reply{}, fmt.Errorf("produce with acks=0: %w", failure)
	case req.Acks == acksNone:
		return reply{}, nil
	case len(pending.batches) == 0:
		return reply{response: response}, nil
	}
	return reply{later: pending.await, ready: pending.ready}, nil
}

// produceAll appends each batch, or refuses all of them, and returns the last error.
func (b *Broker) produceAll(c *call, req *kmsg.ProduceRequest, entered entries, refusal error, pending *pendingProduce) (failure error) {
	response, count := pending.response, 0
	response.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	for i := range req.Topics {
		in, out := &req.Topics[i], &response.Topics[i]
		out.Topic, out.TopicID = in.Topic, in.TopicID
		out.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(in.Partitions))
		for j := range in.Partitions {
			answer := &out.Partitions[j]
			answer.Default()
			answer.Partition = in.Partitions[j].Partition
			err := refusal
			if err == nil {
				err = b.produceBatch(c, in, j, entered.at(count), answer, pending)
			}
			count++
			if err != nil {
				refuse(answer, err)
				b.metrics.batchRejected(answer.ErrorCode)
				failure = err
			}
		}
	}
	return failure
}

// produceBatch appends the one batch that is meant for a partition and fills in what the client is told if it gets
// committed.
func (b *Broker) produceBatch(c *call, topic *kmsg.ProduceRequestTopic, i int, entered entry,
	answer *kmsg.ProduceResponseTopicPartition, pending *pendingProduce) error {
	p, name, err := b.produceTo(c, topic, answer.Partition)
	if err != nil {
		return err
	}
	batch, err := onlyBatch(topic.Partitions[i].Records, c.version)
	if err != nil {
		return err
	}
	if err := b.disk.admit(len(batch)); err != nil {
		return err
	}
	if entered.err != nil {
		return entered.err
	}
	var appended log.Appended
	if entered.verification == nil {
		appended, err = p.Append(batch, c.now.UnixMilli(), partition.Client)
	} else {
		appended, err = p.AppendInTransaction(batch, c.now.UnixMilli(), partition.Client, entered.verification)
	}
	if err != nil {
		return err
	}
	if !appended.Duplicate {
		b.metrics.produced(name, len(batch), int(batch.Count()))
	}
	answer.BaseOffset = appended.BaseOffset
	answer.LogAppendTime = appended.LogAppendTimeMs
	answer.LogStartOffset = appended.LogStartOffset
	pending.batches = append(pending.batches, pendingBatch{partition: p, next: appended.LastOffset + 1, answer: answer})
	return nil
}

// produceTo finds the partition that a client writes to, and its topic's name.
func (b *Broker) produceTo(c *call, topic *kmsg.ProduceRequestTopic, index int32) (p *partition.Partition, name string, err error) {
	name = topic.Topic
	if c.version >= firstProduceVersionTopicIDs {
		if p, name = b.partitions.lookupID(topic.TopicID, index); name == "" {
			return nil, "", kerr.UnknownTopicID
		}
	} else {
		p = b.partitions.lookup(name, index)
	}
	switch {
	case p == nil:
		return nil, "", kerr.UnknownTopicOrPartition
	case isInternalTopic(name) && c.clientID != adminClientID:
		return nil, "", errInternalTopic
	}
	return p, name, nil
}

func isInternalTopic(name string) bool {
	return name == metadata.OffsetsTopic || name == metadata.TransactionsTopic
}

// onlyBatch returns the batch in records, which must be exactly one of format 2.
func onlyBatch(records []byte, version int16) (record.Batch, error) {
	batch, rest, err := record.Next(records)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the one batch that a partition may be sent", record.ErrInvalid, len(rest))
	}
	if batch.Codec() == record.Zstd && version < firstProduceVersionZstd {
		return nil, fmt.Errorf("%w: zstd needs Produce version %d", kerr.UnsupportedCompressionType, firstProduceVersionZstd)
	}
	return batch, nil
}

// pendingProduce is a produce whose batches are appended and not yet committed.
type pendingProduce struct {
	response *kmsg.ProduceResponse
	batches  []pendingBatch
	deadline time.Time // zero: none
}

type pendingBatch struct {
	partition *partition.Partition
	next      int64
	answer    *kmsg.ProduceResponseTopicPartition
}

// ready reports whether await would return at once.
func (p *pendingProduce) ready() bool {
	for i := range p.batches {
		committed, err := p.batches[i].partition.Committed(p.batches[i].next)
		if !committed && err == nil {
			return false
		}
	}
	return true
}

// await returns the response once each batch is committed or never will be, or the request's time is over. What is
// late may still be committed: the client must retry, and only an idempotent one does so without a copy.
func (p *pendingProduce) await(ctx context.Context) kmsg.Response {
	cancel := func() {}
	limited := false
	for i := range p.batches {
		batch := &p.batches[i]
		committed, err := batch.partition.Committed(batch.next)
		if !committed && err == nil {
			if !limited && !p.deadline.IsZero() {
				limited = true
				ctx, cancel = context.WithDeadline(ctx, p.deadline)
			}
			err = batch.partition.AwaitCommitted(ctx, batch.next)
		}
		if err != nil {
			refuse(batch.answer, err)
		}
	}
	cancel()
	return p.response
}

// refuse makes answer an error. Unless err comes from before the append (produceBatch), the batch may have been written
// all the same: a commit that is late or failed leaves that open, and the client must not take it for a no.
func refuse(answer *kmsg.ProduceResponseTopicPartition, err error) {
	answer.ErrorCode = errorCode(err)
	answer.BaseOffset, answer.LogAppendTime, answer.LogStartOffset = -1, -1, -1
	answer.ErrorMessage = errorMessage(err)
	rejected, ok := errors.AsType[*partition.RejectedError](err)
	if !ok {
		return
	}
	for _, record := range rejected.Records {
		r := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		r.RelativeOffset = record.Index
		r.ErrorMessage = errorMessage(record.Err)
		answer.ErrorRecords = append(answer.ErrorRecords, r)
	}
}
