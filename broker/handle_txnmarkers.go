package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/txn"
	"github.com/millrace/millrace/log/record"
)

// WriteTxnMarkers 1-2 (KIP-98, KIP-664 the operator's abort, KIP-1228).

// writeTxnMarkers ends producers' transactions in partitions without asking the coordinator: an operator's way out of a
// transaction that nobody would end.
func (b *Broker) writeTxnMarkers(c *call, req *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	response := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), markerCommitMax)
	defer cancel()
	for i := range req.Markers {
		response.Markers = append(response.Markers, b.writeMarkers(ctx, c.now, &req.Markers[i]))
	}
	return response, nil
}

func (b *Broker) writeMarkers(ctx context.Context, now time.Time, m *kmsg.WriteTxnMarkersRequestMarker) kmsg.WriteTxnMarkersResponseMarker {
	marker := record.EndTxnMarker{
		Type:             record.ControlAbort,
		ProducerID:       m.ProducerID,
		ProducerEpoch:    m.ProducerEpoch,
		CoordinatorEpoch: m.CoordinatorEpoch,
		TimestampMs:      now.UnixMilli(),
	}
	if m.Committed {
		marker.Type = record.ControlCommit
	}
	result := kmsg.NewWriteTxnMarkersResponseMarker()
	result.ProducerID = m.ProducerID
	for _, topic := range m.Topics {
		partitions := distinct(partitionsOf(topic.Topic, topic.Partitions), func(p *txn.Partition) txn.Partition { return *p })
		answered := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
		answered.Topic = topic.Topic
		answered.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(partitions))
		_ = forEach(len(partitions), func(i int) error {
			err := b.writeMarker(ctx, partitions[i], marker, m.TransactionVersion >= transactionVersionBumps)
			answered.Partitions[i].Partition = partitions[i].Partition
			answered.Partitions[i].ErrorCode = markerCode(err)
			return nil
		})
		result.Topics = append(result.Topics, answered)
	}
	return result
}

// markerCode is the code for a marker that was not written. The errors of a coordinator mean nothing to who writes
// markers: as with Kafka the partition is looked for again.
func markerCode(err error) int16 {
	for _, coordinators := range []error{kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress} {
		if errors.Is(err, coordinators) {
			err = fmt.Errorf("%w: %w", kerr.NotLeaderForPartition, err)
			break
		}
	}
	return errorCode(err)
}
