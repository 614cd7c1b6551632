package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/config"
	"github.com/millrace/millrace/broker/internal/coordinator"
	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/txn"
)

// transactionWaitMax is how long a request waits for the coordinator of its transaction at most. What ends a
// transaction is answered earlier, when the markers take longer than txn.EndWaitMs.
const transactionWaitMax = 10 * time.Second

// transactionCoordinator runs transactions: one shard for each partition of __transaction_state, and beside them who
// writes the markers into the partitions that a transaction is about. Safe for concurrent use.
type transactionCoordinator struct {
	*shardedTopic[*txn.State]
	settings func() *config.Broker // at this moment
	ids      *producerIDs
	markers  *markerWriter
}

type transactionShard = coordinator.Shard[*txn.State]

func newTransactionCoordinator(b *Broker) *transactionCoordinator {
	t := &transactionCoordinator{
		shardedTopic: newShardedTopic[*txn.State](b, metadata.TransactionsTopic),
		settings:     b.controller.settings,
		ids:          &b.producerIDs,
		markers:      newMarkerWriter(b),
	}
	t.create, t.machine = t.topicOptions, t.newState
	return t
}

// open loads all transactions and goes on with those that were being decided.
func (t *transactionCoordinator) open(ctx context.Context) error {
	if err := t.shardedTopic.open(ctx); err != nil {
		return err
	}
	s := t.loaded.Load()
	if s == nil {
		return nil
	}
	// A timeout may need a producer id, and comes without a request that would see to it.
	if err := t.ids.stock(ctx, producerIDStockMin); err != nil {
		t.logger.Warn("no producer ids at hand for transactions that time out", "err", err)
	}
	for i, shard := range s.all {
		if shard != nil && t.partitions.lookup(t.name, int32(i)).Offsets().LogEnd > 0 {
			t.markers.serve(shard)
		}
	}
	return nil
}

// close ends the writing of markers, which the next start goes on with, and all shards.
func (t *transactionCoordinator) close() {
	t.markers.close()
	t.shardedTopic.close()
}

// topicOptions are what __transaction_state is created with.
func (t *transactionCoordinator) topicOptions() (partitions int32, configs map[string]string) {
	settings := t.settings()
	return settings.TransactionStateLogNumPartitions, map[string]string{
		"cleanup.policy":   "compact",
		"compression.type": "uncompressed",
		"segment.bytes":    strconv.Itoa(int(settings.TransactionStateLogSegmentBytes)),
	}
}

func (t *transactionCoordinator) newState(_ int32, world coordinator.World) *txn.State {
	settings := t.settings()
	return txn.New(txn.Config{
		MaxTimeoutMs:      settings.TransactionMaxTimeoutMs,
		IDExpirationMs:    int64(settings.TransactionalIdExpirationMs),
		ExpirationCheckMs: int64(settings.TransactionRemoveExpiredTransactionCleanupIntervalMs),
	}, txn.Environment{
		Append:             world.Append,
		Reply:              func(to txn.Ticket, answer any) { world.Reply(uint64(to), answer) },
		NewProducerID:      t.ids.take,
		TransactionVersion: func() int16 { return t.controller.image().TransactionVersion() },
	}, t.logger)
}

// confirm says for each partition of a claim why a producer may not write there, or nil: then the partition is in the
// producer's open transaction, durably so if the claim adds it. It waits at most transactionWaitMax. The errors wrap
// Kafka's.
func (t *transactionCoordinator) confirm(ctx context.Context, claim txn.Claim) []error {
	if !claim.Add && !t.settings().TransactionPartitionVerificationEnable {
		return make([]error, len(claim.Partitions))
	}
	return t.claim(ctx, claim)
}

// claim is confirm that asks in any case.
func (t *transactionCoordinator) claim(ctx context.Context, claim txn.Claim) []error {
	codes, err := askTransaction[[]txn.Code](ctx, t, claim.TransactionalID,
		func(s *txn.State, _ txn.Ticket) any { return s.Claim(claim) })
	refusals := make([]error, len(claim.Partitions))
	for i := range refusals {
		if refusals[i] = err; err == nil {
			refusals[i] = kerr.ErrorForCode(int16(codes[i]))
		}
	}
	return refusals
}

// transactionOperation runs in the goroutine of a transactional id's shard, and may still do so after the request has
// ended: it must own what it uses. It returns the answer, or nil if the state will reply to the ticket.
type transactionOperation func(s *txn.State, to txn.Ticket) any

// askTransaction runs an operation on the shard of a transactional id and returns its answer, which is committed. It
// waits at most transactionWaitMax; a broker that stops does not cut it short: what was decided is answered. The error
// wraps COORDINATOR_NOT_AVAILABLE or NOT_COORDINATOR, at which clients look for the coordinator and try again.
func askTransaction[A any](ctx context.Context, t *transactionCoordinator, id string, operation transactionOperation) (A, error) {
	var none A
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionWaitMax)
	defer cancel()
	shard, err := t.shardOf(ctx, id)
	if err != nil {
		return none, fmt.Errorf("transactional id %q: %w", id, err)
	}
	t.markers.serve(shard)
	answer, err := shard.Do(ctx, func(s *txn.State, ticket uint64) any { return operation(s, txn.Ticket(ticket)) })
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return none, fmt.Errorf("transactional id %q: %w: %w", id, kerr.CoordinatorNotAvailable, err)
	case err != nil:
		return none, fmt.Errorf("transactional id %q: %w: %w", id, kerr.NotCoordinator, err)
	}
	return answer.(A), nil
}
