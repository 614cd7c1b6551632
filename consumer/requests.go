package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Member is who commits, as the group's coordinator knows it. The zero Member is nobody: a group without members takes
// commits from whoever asks.
type Member struct {
	ID         string
	Generation int32
	InstanceID *string
}

// generation returns what goes over the wire: nobody has generation -1.
func (m Member) generation() int32 {
	if m.ID == "" {
		return -1
	}
	return m.Generation
}

// namedTopics caps the requests about offsets below the versions that know topics by id alone: offsets then outlive a
// metadata cache that does not know a topic yet.
func namedTopics() kgo.Opt {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(int16(kmsg.OffsetCommit), 9)
	versions.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 9)
	versions.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 5)
	return kgo.MaxVersions(versions)
}

// transaction identifies an open transaction.
type transaction struct {
	id            string
	producerID    int64
	producerEpoch int16
}

// hasNewTransactions reports whether transactions are those of KIP-890: partitions are added by what is written to them.
func hasNewTransactions(ctx context.Context, client *kgo.Client) (bool, error) {
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "millrace-consumer", "1"
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return false, fmt.Errorf("ask for the broker's features: %w", err)
	}
	for _, feature := range response.FinalizedFeatures {
		if feature.Name == "transaction.version" {
			return feature.MaxVersionLevel >= 2, nil
		}
	}
	return false, nil
}

// fetchCommitted returns what group has committed in each of the partitions, noOffset where nothing. It waits for
// transactions that have offsets of them pending.
func fetchCommitted(ctx context.Context, client *kgo.Client, group string, partitions []TopicPartition, again func(error) bool) (Offsets, error) {
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group, request.RequireStable = group, true
	indexes := map[string]int{}
	offsets := Offsets{}
	for _, p := range partitions {
		i, ok := indexes[p.Topic]
		if !ok {
			i = len(request.Topics)
			indexes[p.Topic] = i
			request.Topics = append(request.Topics, kmsg.OffsetFetchRequestTopic{Topic: p.Topic})
		}
		request.Topics[i].Partitions = append(request.Topics[i].Partitions, p.Partition)
		offsets[p] = noOffset
	}
	if len(partitions) == 0 {
		return offsets, nil
	}
	err := repeat(ctx, again, func() error {
		response, err := request.RequestWith(ctx, client)
		if err == nil {
			err = offsets.read(response)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetch the offsets of group %q: %w", group, err)
	}
	return offsets, nil
}

// read takes the offsets of a response.
func (o Offsets) read(response *kmsg.OffsetFetchResponse) error {
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return err
	}
	for _, topic := range response.Topics {
		for _, p := range topic.Partitions {
			name := TopicPartition{topic.Topic, p.Partition}
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("%v: %w", name, err)
			}
			offset := Offset{At: p.Offset, LeaderEpoch: p.LeaderEpoch}
			if p.Metadata != nil {
				offset.Metadata = *p.Metadata
			}
			if p.Offset < 0 {
				offset = noOffset
			}
			o[name] = offset
		}
	}
	return nil
}

// commitOffsets commits offsets on their own.
func commitOffsets(ctx context.Context, client *kgo.Client, group string, member Member, offsets Offsets) error {
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.MemberID, request.Generation, request.InstanceID = group, member.ID, member.generation(), member.InstanceID
	for _, p := range offsets.partitions() {
		if last := len(request.Topics) - 1; last < 0 || request.Topics[last].Topic != p.Topic {
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic = p.Topic
			request.Topics = append(request.Topics, topic)
		}
		topic := &request.Topics[len(request.Topics)-1]
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		offset := offsets[p]
		partition.Partition, partition.Offset, partition.LeaderEpoch = p.Partition, offset.At, offset.LeaderEpoch
		partition.Metadata = &offset.Metadata
		topic.Partitions = append(topic.Partitions, partition)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, topic := range response.Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("%v: %w", TopicPartition{topic.Topic, p.Partition}, err)
			}
		}
	}
	return nil
}

// addGroup makes the group's offsets part of a transaction, which a broker without KIP-890 has to be asked for.
func addGroup(ctx context.Context, client *kgo.Client, t transaction, group string) error {
	request := kmsg.NewPtrAddOffsetsToTxnRequest()
	request.TransactionalID, request.ProducerID, request.ProducerEpoch, request.Group = t.id, t.producerID, t.producerEpoch, group
	return repeat(ctx, isConcurrent, func() error {
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.ErrorCode)
	})
}

// commitInTransaction makes offsets part of a transaction, with whom they come from (KIP-447).
func commitInTransaction(ctx context.Context, client *kgo.Client, t transaction, group string, member Member, offsets Offsets) error {
	request := kmsg.NewPtrTxnOffsetCommitRequest()
	request.TransactionalID, request.ProducerID, request.ProducerEpoch, request.Group = t.id, t.producerID, t.producerEpoch, group
	request.MemberID, request.Generation, request.InstanceID = member.ID, member.generation(), member.InstanceID
	for _, p := range offsets.partitions() {
		if last := len(request.Topics) - 1; last < 0 || request.Topics[last].Topic != p.Topic {
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic = p.Topic
			request.Topics = append(request.Topics, topic)
		}
		topic := &request.Topics[len(request.Topics)-1]
		partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		offset := offsets[p]
		partition.Partition, partition.Offset, partition.LeaderEpoch = p.Partition, offset.At, offset.LeaderEpoch
		partition.Metadata = &offset.Metadata
		topic.Partitions = append(topic.Partitions, partition)
	}
	return repeat(ctx, isConcurrent, func() error {
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		for _, topic := range response.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("%v: %w", TopicPartition{topic.Topic, p.Partition}, err)
				}
			}
		}
		return nil
	})
}

// endTransaction commits a transaction in which the client produced nothing, of which it therefore knows nothing.
func endTransaction(ctx context.Context, client *kgo.Client, t transaction) error {
	request := kmsg.NewPtrEndTxnRequest()
	request.TransactionalID, request.ProducerID, request.ProducerEpoch, request.Commit = t.id, t.producerID, t.producerEpoch, true
	return repeat(ctx, isConcurrent, func() error {
		response, err := request.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(response.ErrorCode)
	})
}

// leaveStatic has a static member forgotten, which its client never asks for.
func leaveStatic(ctx context.Context, client *kgo.Client, group string, member Member) error {
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group, request.MemberID = group, member.ID
	leaving := kmsg.NewLeaveGroupRequestMember()
	leaving.MemberID, leaving.InstanceID = member.ID, member.InstanceID
	request.Members = append(request.Members, leaving)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return err
	}
	for _, left := range response.Members {
		if err := kerr.ErrorForCode(left.ErrorCode); err != nil && !isMembership(err) && !isFenced(err) {
			return err
		}
	}
	return nil
}

// isUnstable: a transaction that has offsets of the partition pending is not decided yet.
func isUnstable(err error) bool { return errors.Is(err, kerr.UnstableOffsetCommit) }

// isConcurrent: the transaction before it is not through yet.
func isConcurrent(err error) bool { return errors.Is(err, kerr.ConcurrentTransactions) }

// isMembership reports whether err is that the group has moved on without the member.
func isMembership(err error) bool {
	return isAny(err, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.StaleMemberEpoch, kerr.GroupIDNotFound)
}

// isFenced reports whether err is that another producer with the transactional id, or member with the instance id, is there.
func isFenced(err error) bool {
	return isAny(err, kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.FencedInstanceID, kerr.TransactionCoordinatorFenced)
}

// IsTransient reports whether a failure of a request may be gone by itself: the broker is away, starts, or is busy.
func IsTransient(err error) bool { return isTransient(err) }

func isTransient(err error) bool {
	var code *kerr.Error
	if errors.As(err, &code) {
		return code.Retriable || isMembership(err)
	}
	var options *optionsError
	return !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed) && !errors.As(err, &options)
}

// optionsError is that a client's options do not fit together.
type optionsError struct{ err error }

func (e *optionsError) Error() string { return e.err.Error() }
func (e *optionsError) Unwrap() error { return e.err }

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// repeat calls do until it fails with something that does not ask for another try, or ctx ends; then it returns that error.
func repeat(ctx context.Context, again func(error) bool, do func() error) error {
	for pause := retryPauseMin; ; pause = min(2*pause, retryPauseMax) {
		err := do()
		if err == nil || !again(err) {
			return err
		}
		if !wait(ctx, pause) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// wait returns after pause, or false when ctx ended before.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
