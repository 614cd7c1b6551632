package txn

import (
	"log/slog"
	"maps"
	"math"
	"slices"

	"github.com/millrace/millrace/log/record"
)

// Config is what a broker's configuration says about transactions.
type Config struct {
	MaxTimeoutMs      int32 // transaction.max.timeout.ms
	IDExpirationMs    int64 // transactional.id.expiration.ms
	ExpirationCheckMs int64 // transaction.remove.expired.transaction.cleanup.interval.ms
}

const (
	// endWaitMs bounds how long the answer to the end of a transaction waits for its markers.
	endWaitMs = 5_000
	// retryMs is the pause after something that must be done could not be appended.
	retryMs = 1_000
)

// Ticket names one waiting request. 0 is none.
type Ticket uint64

// Environment is what a State does to the world. The functions are called from inside the State's methods.
type Environment struct {
	// Append writes records as one batch; a nil Value is a tombstone. An error means that nothing was written. The
	// records need not be durable on return: whoever lets answers out waits for that.
	Append func(wallMs int64, records []record.Record) error
	// Reply hands the answer of a waiting request on: an EndAnswer or a []Marker.
	Reply func(to Ticket, answer any)
	// NewProducerID returns an id that nobody has or had. It does not wait; false means that none is at hand.
	NewProducerID func() (int64, bool)
	// TransactionVersion is the finalized level of the feature transaction.version.
	TransactionVersion func() int16
}

// State is the transactional ids of one partition of __transaction_state.
// It is not safe for concurrent use.
type State struct {
	config       Config
	environment  Environment
	logger       *slog.Logger
	nowMs        int64 // on the clock of the deadlines
	wallMs       int64
	transactions map[string]*transaction
	deadlines    deadlineQueue
	checkMs      int64 // when idle ids are looked for next
	decisions    uint64
	ready        []*transaction // decided, with markers that nobody has taken
	writer       Ticket         // waits for markers
	outcomes     [Outcomes]uint64
}

// New returns a State without transactional ids. Records go in by Replay, then Loaded starts the clocks.
func New(config Config, environment Environment, logger *slog.Logger) *State {
	return &State{
		config:       config,
		environment:  environment,
		logger:       logger,
		transactions: make(map[string]*transaction),
		checkMs:      math.MaxInt64,
	}
}

// Loaded ends the replay. Open transactions have what is left of their timeouts, and the markers of decided ones are
// handed out, again maybe.
func (s *State) Loaded() {
	for _, id := range s.ids() {
		t := s.transactions[id]
		switch {
		case t.phase == Ongoing:
			s.watch(t)
		case t.phase.decided():
			s.carryOut(t)
		}
	}
	s.checkMs = s.nowMs + s.config.ExpirationCheckMs
}

// ids returns all transactional ids, sorted.
func (s *State) ids() []string { return slices.Sorted(maps.Keys(s.transactions)) }

// change makes next, which is one step after what t is, the metadata of t, durably.
func (s *State) change(t *transaction, next metadata) Code {
	next.previousProducerID = t.producerID
	return s.write(t, next)
}

// write makes next the metadata of t, durably.
func (s *State) write(t *transaction, next metadata) Code {
	next.updatedMs = s.wallMs
	err := s.environment.Append(s.wallMs, []record.Record{s.record(t.id, &next)})
	if err != nil {
		s.logger.Warn("transaction not written", "transactional_id", t.id, "phase", next.phase.String(), "err", err)
		return CoordinatorNotAvailable
	}
	t.metadata = next
	return None
}
