package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/fetchsession"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/broker/internal/quota"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

// kafkaErrors is the only map from Go errors to Kafka's. The first entry that an error wraps is what clients are told.
var kafkaErrors = []struct {
	err  error
	code *kerr.Error
}{
	{partition.ErrOffline, kerr.KafkaStorageError},
	{partition.ErrFailed, kerr.KafkaStorageError},
	{errDiskFull, kerr.KafkaStorageError},
	{log.ErrFull, kerr.KafkaStorageError},
	{log.ErrFailed, kerr.KafkaStorageError},

	// A partition that closes is about to move, to be deleted or to be back in a moment: look for it again.
	{partition.ErrClosed, kerr.NotLeaderForPartition},
	{log.ErrClosed, kerr.NotLeaderForPartition},
	{ErrClosed, kerr.NotLeaderForPartition},

	{partition.ErrDamaged, kerr.CorruptMessage},
	{partition.ErrTimestamp, kerr.InvalidTimestamp},
	{partition.ErrNoKey, kerr.InvalidRecord},
	{partition.ErrPolicy, kerr.PolicyViolation},
	{partition.ErrOffsetRange, kerr.OffsetOutOfRange},

	{record.ErrCorrupt, kerr.CorruptMessage},
	{record.ErrShort, kerr.InvalidRecord},
	{record.ErrMagic, kerr.InvalidRecord},
	{record.ErrInvalid, kerr.InvalidRecord},
	{record.ErrCodec, kerr.UnsupportedCompressionType},
	{record.ErrTooLarge, kerr.MessageTooLarge},
	{record.ErrTimestamp, kerr.InvalidTimestamp},

	{log.ErrOutOfRange, kerr.OffsetOutOfRange},
	{log.ErrOutOfOrderSequence, kerr.OutOfOrderSequenceNumber},
	{log.ErrInvalidProducerEpoch, kerr.InvalidProducerEpoch},
	{log.ErrInvalidTxnState, kerr.InvalidTxnState},
	{log.ErrCoordinatorFenced, kerr.TransactionCoordinatorFenced},

	{fetchsession.ErrNotFound, kerr.FetchSessionIDNotFound},
	{fetchsession.ErrEpoch, kerr.InvalidFetchSessionEpoch},
	{fetchsession.ErrTopicIDs, kerr.FetchSessionTopicIDError},

	{metadata.ErrTopicExists, kerr.TopicAlreadyExists},
	{metadata.ErrUnknownTopic, kerr.UnknownTopicOrPartition},
	{metadata.ErrUnknownTopicID, kerr.UnknownTopicID},
	{metadata.ErrInvalidTopic, kerr.InvalidTopicException},
	{metadata.ErrInvalidPartitions, kerr.InvalidPartitions},
	{metadata.ErrInvalidReplicationFactor, kerr.InvalidReplicationFactor},
	{metadata.ErrInvalidReplicaAssignment, kerr.InvalidReplicaAssignment},
	{metadata.ErrInvalidConfig, kerr.InvalidConfig},
	{metadata.ErrInvalidRequest, kerr.InvalidRequest},
	{metadata.ErrPolicy, kerr.PolicyViolation},
	{quota.ErrInvalid, kerr.InvalidRequest},

	{context.DeadlineExceeded, kerr.RequestTimedOut},
	{context.Canceled, kerr.RequestTimedOut},
}

// refusal is one of Kafka's errors in words of our own, which alone clients are told beside its code.
type refusal struct {
	kafka *kerr.Error
	text  string
}

func refused(kafka *kerr.Error, format string, args ...any) error {
	return &refusal{kafka, fmt.Sprintf(format, args...)}
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kafka }

// errorCode is Kafka's code for err: 0 for nil, UNKNOWN_SERVER_ERROR for what is not known.
// An error that wraps one of package kerr carries its own.
func errorCode(err error) int16 {
	if err == nil {
		return 0
	}
	if kafka, ok := errors.AsType[*kerr.Error](err); ok {
		return kafka.Code
	}
	if large, ok := errors.AsType[*partition.TooLargeError](err); ok {
		if large.Segment {
			return kerr.RecordListTooLarge.Code
		}
		return kerr.MessageTooLarge.Code
	}
	for _, known := range kafkaErrors {
		if errors.Is(err, known.err) {
			return known.code.Code
		}
	}
	return kerr.UnknownServerError.Code
}
