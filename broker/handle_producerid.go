package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/txn"
)

// InitProducerId 0-5 (KIP-98, KIP-360, KIP-890).

// firstInitVersionFenced is the first version of InitProducerId whose clients know PRODUCER_FENCED.
const firstInitVersionFenced = 4

// initProducerID gives a producer without a transactional id an id that nobody else has, now or later; like Kafka it does
// so whatever id the producer had before. One with a transactional id gets that one's, in an epoch that fences all
// others who use it.
func (b *Broker) initProducerID(c *call, req *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
	response := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	response.ProducerID, response.ProducerEpoch = -1, -1
	id, epoch, err := b.initProducer(c.ctx, req)
	if err != nil {
		response.ErrorCode = fencedCode(err, c.version, firstInitVersionFenced)
		return response, nil
	}
	response.ProducerID, response.ProducerEpoch = id, epoch
	return response, nil
}

func (b *Broker) initProducer(ctx context.Context, req *kmsg.InitProducerIDRequest) (id int64, epoch int16, err error) {
	switch {
	case (req.ProducerID < 0) != (req.ProducerEpoch < 0):
		return 0, 0, fmt.Errorf("%w: producer id %d with epoch %d", kerr.InvalidRequest, req.ProducerID, req.ProducerEpoch)
	case req.TransactionalID == nil:
		id, err = b.producerIDs.next(ctx)
		return id, 0, err
	case *req.TransactionalID == "":
		return 0, 0, errEmptyTransactionalID
	}
	b.stockProducerIDs(ctx)
	init := txn.InitRequest{
		TransactionalID: *req.TransactionalID,
		TimeoutMs:       req.TransactionTimeoutMillis,
		ProducerID:      req.ProducerID,
		ProducerEpoch:   req.ProducerEpoch,
	}
	answer, err := askTransaction[txn.InitAnswer](ctx, b.transactions, init.TransactionalID,
		func(s *txn.State, _ txn.Ticket) any { return s.InitProducerID(init) })
	if err == nil {
		err = kerr.ErrorForCode(int16(answer.Code))
	}
	return answer.ProducerID, answer.ProducerEpoch, err
}

// stockProducerIDs sees to it that the coordinator of transactions finds a producer id if it needs one. Where that fails it
// may need none; if it does, it sends the client away for a moment.
func (b *Broker) stockProducerIDs(ctx context.Context) {
	_ = b.producerIDs.stock(ctx, producerIDStockMin)
}

var errEmptyTransactionalID = fmt.Errorf("%w: a transactional id is empty", metadata.ErrInvalidRequest)

// fencedCode is the code of err for a client: before the version first it knows INVALID_PRODUCER_EPOCH for
// PRODUCER_FENCED.
func fencedCode(err error, version, first int16) int16 {
	code := errorCode(err)
	if version < first && code == kerr.ProducerFenced.Code {
		return kerr.InvalidProducerEpoch.Code
	}
	return code
}
