package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace/broker/internal/partition"
	"github.com/millrace/millrace/log/record"
)

// Machine is a pure state machine whose durable part is the fold of a partition's records.
// A Shard calls it from one goroutine at a time.
type Machine interface {
	// Replay applies one record while the shard loads; a nil value is a tombstone. Neither slice may be kept.
	Replay(key, value []byte) error
	// Loaded ends the replay.
	Loaded()
	// Advance sets the time, and does what is due: nowMs is a clock that never goes back, wallMs is the time of day.
	Advance(nowMs, wallMs int64)
	// Deadline is when Advance has to be called at the latest, on the clock of nowMs.
	Deadline() int64
}

// Transactional is a Machine to which transactions mean something. Of another one control batches are passed over, and
// every record is one.
type Transactional interface {
	// ReplayTransactional is Replay for a record of a producer's transaction.
	ReplayTransactional(producerID int64, key, value []byte) error
	// ReplayMarker ends a producer's transaction.
	ReplayMarker(marker record.EndTxnMarker) error
}

// World is what a machine acts on: the shard that it lives on. Its functions are called by the machine's methods and by
// operations, never from elsewhere.
type World struct {
	// Append writes records as one batch; a nil value is a tombstone. An error means that nothing was written.
	Append func(wallMs int64, records []record.Record) error
	// AppendTransactional is Append for records of a producer's transaction: they count once its commit marker is there.
	// Errors are those of partition.AppendInTransaction.
	AppendTransactional func(by Transaction, wallMs int64, records []record.Record) error
	// AppendMarker writes the end of a producer's transaction: see partition.EndTransaction.
	AppendMarker func(marker record.EndTxnMarker, newEpochOnly bool) error
	// Reply answers an operation that has not been answered by its return value.
	Reply func(ticket uint64, answer any)
}

// Options say what a shard is made of.
type Options[M Machine] struct {
	Partition *partition.Partition
	New       func(World) M
	Logger    *slog.Logger
}

var (
	// ErrFailed means that the shard's partition takes no more records, or could not be read, or that the machine has
	// panicked: until the broker has restarted the shard answers nothing.
	ErrFailed = errors.New("coordinator shard has failed")
	// ErrClosed means that the shard was closed.
	ErrClosed = errors.New("coordinator shard is closed")
)

const (
	// queueMax bounds the operations that wait for a shard; whoever comes then waits at the door.
	queueMax = 1024
	// heldBackMax bounds the answers that wait for a commit; then no new operation is begun.
	heldBackMax = 16 * 1024
)

// Shard is one machine on one partition. Its methods are safe for concurrent use.
type Shard[M Machine] struct {
	partition *partition.Partition
	logger    *slog.Logger
	queue     chan *request[M]
	stop      chan struct{} // closed by Close
	ended     chan struct{} // closed when the shard's goroutine has ended, or will never start

	// owned by whoever runs the machine: Load, then the shard's goroutine
	machine  M
	began    time.Time
	builder  *record.Builder
	next     int64 // offset after the last record that was appended
	tickets  uint64
	waiting  map[uint64]*request[M]
	heldBack []answered[M]

	mu struct {
		sync.Mutex
		started bool
		closed  bool
		failure error // why the shard ended
	}
}

// request is one operation on its way.
type request[M Machine] struct {
	operation func(machine M, ticket uint64) any
	done      chan outcome // capacity 1
}

type outcome struct {
	answer any
	err    error
}

// answered is an answer that waits until the log is committed up to next.
type answered[M Machine] struct {
	request *request[M]
	answer  any
	next    int64
}

// Load replays the partition's committed records into a new machine. It starts a goroutine only if there were any;
// otherwise the first Do does. The caller closes the shard. On an error there is no shard.
func Load[M Machine](ctx context.Context, options Options[M]) (*Shard[M], error) {
	s := &Shard[M]{
		partition: options.Partition,
		logger:    options.Logger,
		queue:     make(chan *request[M], queueMax),
		stop:      make(chan struct{}),
		ended:     make(chan struct{}),
		began:     time.Now(),
		builder:   record.NewBuilder(record.Options{}),
		waiting:   make(map[uint64]*request[M]),
	}
	s.machine = options.New(World{
		Append:              s.append,
		AppendTransactional: s.appendTransactional,
		AppendMarker:        s.appendMarker,
		Reply:               s.reply,
	})
	records, err := s.replay(ctx)
	if err != nil {
		return nil, fmt.Errorf("load %s-%d: %w", s.partition.Topic(), s.partition.Index(), err)
	}
	s.advance()
	s.machine.Loaded()
	if records > 0 {
		s.logger.Debug("coordinator shard loaded", "topic", s.partition.Topic(), "partition", s.partition.Index(), "records", records,
			"took", time.Since(s.began))
		return s, s.start()
	}
	return s, nil
}

// Do runs an operation on the machine and returns its answer once all that the machine has appended before is
// committed. operation returns the answer, or nil if the machine will reply to the ticket, maybe much later.
// It runs in another goroutine, and may still do so after ctx has ended: it must own what it uses.
// Errors: ErrFailed, ErrClosed, ctx's.
func (s *Shard[M]) Do(ctx context.Context, operation func(machine M, ticket uint64) any) (any, error) {
	if err := s.start(); err != nil {
		return nil, err
	}
	r := &request[M]{operation: operation, done: make(chan outcome, 1)}
	select {
	case s.queue <- r:
	case <-s.ended:
		return nil, s.endedBy()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case o := <-r.done:
		return o.answer, o.err
	case <-s.ended:
		// The answer may have come just before the end.
		select {
		case o := <-r.done:
			return o.answer, o.err
		default:
			return nil, s.endedBy()
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the shard and waits for it. Whoever waits for an answer gets ErrClosed. Closing twice is no error.
func (s *Shard[M]) Close() {
	s.mu.Lock()
	if !s.mu.closed {
		s.mu.closed = true
		close(s.stop)
		if !s.mu.started {
			close(s.ended)
		}
	}
	s.mu.Unlock()
	<-s.ended
}

// start starts the shard's goroutine if it does not run yet.
func (s *Shard[M]) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.failure != nil:
		return s.mu.failure
	case s.mu.closed:
		return ErrClosed
	case !s.mu.started:
		s.mu.started = true
		go s.run()
	}
	return nil
}

// endedBy is why the shard has ended.
func (s *Shard[M]) endedBy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failure != nil {
		return s.mu.failure
	}
	return ErrClosed
}
