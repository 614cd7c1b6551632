package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/broker/internal/metadata"
	"github.com/millrace/millrace/broker/internal/txn"
	"github.com/millrace/millrace/log"
	"github.com/millrace/millrace/log/record"
)

const (
	// markersUnderWayMax bounds the transactions whose markers are written at the same time; each has a goroutine.
	markersUnderWayMax = 512
	// markerCommitMax is how long a marker that was written may take to be committed. Then it is written once more, which
	// changes nothing.
	markerCommitMax = 30 * time.Second
	// Markers that could not be written are tried again after markerRetryMin, twice that, and so on up to markerRetryMax,
	// until they are, or the broker stops: nobody reads past a transaction that is not decided.
	markerRetryMin = 100 * time.Millisecond
	markerRetryMax = 5 * time.Second
)

// markerWriter writes the markers of decided transactions into the partitions that they are about. It asks each shard of
// the transaction coordinator what there is to write, and tells it what was written. Safe for concurrent use.
type markerWriter struct {
	write  func(ctx context.Context, at txn.Partition, marker record.EndTxnMarker, newEpochOnly bool) error
	exists func(at txn.Partition) bool
	epoch  func() int32 // the coordinator's
	logger *slog.Logger

	ctx    context.Context // ends with the writer
	cancel context.CancelFunc
	slots  chan struct{} // capacity markersUnderWayMax

	running sync.WaitGroup // goroutines, and timers that will start one

	mu struct {
		sync.Mutex
		closed  bool
		served  map[*transactionShard]bool
		retries map[*markerJob]*time.Timer
		failing map[txn.Partition]bool // what has been logged, until a marker gets there
	}
}

// markerJob is what is left to write of one transaction's markers.
type markerJob struct {
	shard  *transactionShard
	marker txn.Marker
	left   []txn.Partition
	delay  time.Duration // before the next attempt
}

func newMarkerWriter(b *Broker) *markerWriter {
	w := &markerWriter{
		write:  b.writeOwnMarker,
		exists: func(at txn.Partition) bool { return b.controller.image().CheckPartition(at.Topic, at.Partition) == nil },
		epoch:  func() int32 { return b.controller.image().LeaderEpoch() },
		logger: b.logger,
		slots:  make(chan struct{}, markersUnderWayMax),
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.mu.served = make(map[*transactionShard]bool)
	w.mu.retries = make(map[*markerJob]*time.Timer)
	w.mu.failing = make(map[txn.Partition]bool)
	return w
}

// serve writes the markers of a shard from now on. Once is enough.
func (w *markerWriter) serve(shard *transactionShard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed || w.mu.served[shard] {
		return
	}
	w.mu.served[shard] = true
	w.running.Go(func() { w.poll(shard) })
}

// close ends all writing and waits for it. The shards still have what was not written, and so does the next start.
func (w *markerWriter) close() {
	w.mu.Lock()
	w.mu.closed = true
	w.cancel()
	for _, timer := range w.mu.retries {
		if timer.Stop() {
			w.running.Done()
		}
	}
	clear(w.mu.retries)
	w.mu.Unlock()
	w.running.Wait()
}

// poll asks for markers until the shard or the writer ends. A shard lets its answer out when the decision is committed:
// no marker is written before.
func (w *markerWriter) poll(shard *transactionShard) {
	for {
		answer, err := shard.Do(w.ctx, func(s *txn.State, ticket uint64) any { return s.Markers(txn.Ticket(ticket)) })
		if err != nil {
			return
		}
		for _, marker := range answer.([]txn.Marker) {
			job := &markerJob{shard: shard, marker: marker, left: marker.Partitions, delay: markerRetryMin}
			select {
			case w.slots <- struct{}{}:
			case <-w.ctx.Done():
				return
			}
			w.running.Go(func() { w.attempt(job) })
		}
	}
}

// attempt writes what is left of a job. It has one of the slots.
func (w *markerWriter) attempt(job *markerJob) {
	defer func() { <-w.slots }()
	written := w.writeAll(job)
	if len(written) > 0 {
		// An error is the end of the shard, and then nobody waits for the news.
		_, _ = job.shard.Do(w.ctx, func(s *txn.State, _ uint64) any { return s.Written(job.marker, written) })
	}
	if len(job.left) > 0 {
		w.retry(job)
	}
}

// retry attempts a job once more when its delay is over.
func (w *markerWriter) retry(job *markerJob) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed {
		return
	}
	w.running.Add(1)
	w.mu.retries[job] = time.AfterFunc(job.delay, func() {
		defer w.running.Done()
		w.mu.Lock()
		delete(w.mu.retries, job)
		w.mu.Unlock()
		select {
		case w.slots <- struct{}{}:
			w.attempt(job)
		case <-w.ctx.Done():
		}
	})
	job.delay = min(2*job.delay, markerRetryMax)
}

// writeAll writes to all partitions at once that are left, since each has a sync of its own to wait for. It returns
// where nothing is left to write.
func (w *markerWriter) writeAll(job *markerJob) (written []txn.Partition) {
	marker := record.EndTxnMarker{
		Type:             record.ControlAbort,
		ProducerID:       job.marker.ProducerID,
		ProducerEpoch:    job.marker.ProducerEpoch,
		CoordinatorEpoch: w.epoch(),
		TimestampMs:      time.Now().UnixMilli(),
	}
	if job.marker.Commit {
		marker.Type = record.ControlCommit
	}
	ctx, cancel := context.WithTimeout(w.ctx, markerCommitMax)
	defer cancel()
	errs := make([]error, len(job.left))
	_ = forEach(len(errs), func(i int) error {
		errs[i] = w.write(ctx, job.left[i], marker, job.marker.NewEpochOnly)
		return nil
	})
	var left []txn.Partition
	for i, at := range job.left {
		if w.finished(job, at, errs[i]) {
			written = append(written, at)
		} else {
			left = append(left, at)
		}
	}
	job.left = left
	return written
}

// finished says whether there is nothing more to write to a partition, and logs what an operator should know once.
func (w *markerWriter) finished(job *markerJob, at txn.Partition, err error) bool {
	fenced := errors.Is(err, log.ErrInvalidProducerEpoch)
	gone := err != nil && !w.exists(at)
	w.mu.Lock()
	defer w.mu.Unlock()
	failing := w.mu.failing[at]
	switch {
	case err == nil || gone:
		if failing {
			delete(w.mu.failing, at)
			w.logger.Info("transactions are decided again in a partition", "topic", at.Topic, "partition", at.Partition)
		}
		return true
	case fenced:
		// Somebody else, an operator's tool, has ended the transaction there with a newer epoch.
		w.logger.Warn("transaction was ended by somebody else in a partition", "transactional_id", job.marker.TransactionalID,
			"topic", at.Topic, "partition", at.Partition, "err", err)
		return true
	case w.ctx.Err() != nil:
		return false
	case !failing:
		w.mu.failing[at] = true
		w.logger.Error("transaction cannot be decided in a partition, which is tried again until it is: readers of committed records wait there",
			"transactional_id", job.marker.TransactionalID, "topic", at.Topic, "partition", at.Partition, "err", err)
	}
	return false
}

// writeOwnMarker is writeMarker for the broker's own coordinator, the only one there is: a coordinator epoch above its own,
// from an operator's tool or in a directory from elsewhere, does not fence it, or the transaction would stay open for ever.
func (b *Broker) writeOwnMarker(ctx context.Context, at txn.Partition, marker record.EndTxnMarker, newEpochOnly bool) error {
	if p := b.partitions.lookup(at.Topic, at.Partition); p != nil {
		marker.CoordinatorEpoch = max(marker.CoordinatorEpoch, p.CoordinatorEpoch(marker.ProducerID))
	}
	return b.writeMarker(ctx, at, marker, newEpochOnly)
}

// writeMarker ends a producer's transaction in one partition and returns when that is committed. A partition of
// __consumer_offsets has a coordinator that must hear of it.
func (b *Broker) writeMarker(ctx context.Context, at txn.Partition, marker record.EndTxnMarker, newEpochOnly bool) error {
	if at.Topic == metadata.OffsetsTopic {
		return b.groups.endTransaction(ctx, at.Partition, marker, newEpochOnly)
	}
	p := b.partitions.lookup(at.Topic, at.Partition)
	if p == nil {
		return fmt.Errorf("end a transaction in %s-%d: %w", at.Topic, at.Partition, kerr.UnknownTopicOrPartition)
	}
	appended, err := p.EndTransaction(marker, newEpochOnly, marker.TimestampMs)
	if err != nil {
		return err
	}
	return p.AwaitCommitted(ctx, appended.LastOffset+1)
}
