package broker

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerId 0-4 (KIP-98, KIP-360), idempotent producers only.

// errNoTransactions is what a transactional producer is told. Clients retry UNSUPPORTED_VERSION (librdkafka) or
// COORDINATOR_NOT_AVAILABLE (all) until a timeout that hides the reason; this code ends each of them at once.
var errNoTransactions = fmt.Errorf("%w: the broker has no transactions", kerr.TransactionalIDAuthorizationFailed)

// initProducerID gives a producer an id that nobody else has, now or later. Like Kafka it does so whatever id the
// producer had before.
func (b *Broker) initProducerID(c *call, req *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
	response := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	response.ProducerID, response.ProducerEpoch = -1, -1
	id, err := b.newProducerID(c.ctx, req)
	if err != nil {
		response.ErrorCode = errorCode(err)
		return response, nil
	}
	response.ProducerID, response.ProducerEpoch = id, 0
	return response, nil
}

func (b *Broker) newProducerID(ctx context.Context, req *kmsg.InitProducerIDRequest) (int64, error) {
	if req.TransactionalID != nil {
		if *req.TransactionalID == "" {
			return 0, fmt.Errorf("%w: empty transactional id", kerr.InvalidRequest)
		}
		b.logger.Warn("transactional producer refused: the broker has no transactions", "transactional_id", *req.TransactionalID)
		return 0, errNoTransactions
	}
	if (req.ProducerID < 0) != (req.ProducerEpoch < 0) {
		return 0, fmt.Errorf("%w: producer id %d with epoch %d", kerr.InvalidRequest, req.ProducerID, req.ProducerEpoch)
	}
	return b.producerIDs.next(ctx, b.controller.nextProducerIDs)
}

// producerIDs hands out producer ids from blocks that the metadata log has reserved. What is left of a block when the
// broker stops is never used.
type producerIDs struct {
	mu sync.Mutex // held while a block is reserved: all that ask then need it

	first int64
	count int32 // left
}

// next returns an id. reserve makes a block durably this broker's.
func (ids *producerIDs) next(ctx context.Context, reserve func(context.Context) (first int64, count int32, err error)) (int64, error) {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.count == 0 {
		first, count, err := reserve(ctx)
		if err != nil {
			return 0, fmt.Errorf("reserve producer ids: %w", err)
		}
		ids.first, ids.count = first, count
	}
	id := ids.first
	ids.first++
	ids.count--
	return id, nil
}
