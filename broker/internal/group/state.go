package group

import (
	"log/slog"
	"maps"
	"slices"

	"github.com/millrace/millrace/log/record"
)

// Config is what a broker's configuration says about groups.
type Config struct {
	MinSessionTimeoutMs     int32 // group.min.session.timeout.ms
	MaxSessionTimeoutMs     int32 // group.max.session.timeout.ms
	MaxSize                 int32 // group.max.size, members
	InitialRebalanceDelayMs int32 // group.initial.rebalance.delay.ms
	OffsetMetadataMaxBytes  int32 // offset.metadata.max.bytes, in UTF-16 units as Kafka counts
	OffsetsRetentionMs      int64 // offsets.retention.minutes
	OffsetsCheckIntervalMs  int64 // offsets.retention.check.interval.ms
}

// newMemberJoinTimeoutMs bounds how long a member that does not know its id yet waits in a join barrier: it cannot
// send heartbeats, and a client that gave up and retries would leave a ghost behind at every try.
const newMemberJoinTimeoutMs = 5 * 60 * 1000

// Ticket names one waiting request. 0 is none.
type Ticket uint64

// Environment is what a State does to the world. Its functions are called from inside the State's methods.
type Environment struct {
	// Append writes records as one batch; a nil Value is a tombstone. An error means that nothing was written. The
	// records need not be durable on return: whoever lets answers out waits for that.
	Append func(wallMs int64, records []record.Record) error
	// AppendTransactional is Append for records of a producer's transaction. It refuses a producer whose transaction
	// may not go on, and its error is for whoever asked.
	AppendTransactional func(by Producer, wallMs int64, records []record.Record) error
	// AppendMarker writes the end of a producer's transaction.
	AppendMarker func(end TransactionEnd) error
	// Reply hands the answer of a waiting request on: a JoinAnswer or a SyncAnswer.
	Reply func(to Ticket, answer any)
}

// State is the groups and committed offsets of one partition of __consumer_offsets.
// It is not safe for concurrent use.
type State struct {
	config        Config
	environment   Environment
	logger        *slog.Logger
	nowMs         int64 // on the clock of the deadlines
	wallMs        int64
	groups        map[string]*group
	transactions  transactions
	placed        int64 // how many offsets have been placed in the log's order
	timers        timerQueue
	timerSequence uint64
	retention     *timer
}

// New returns a State without groups. Records go in by Replay, then Loaded starts the timers.
func New(config Config, environment Environment, logger *slog.Logger) *State {
	s := &State{config: config, environment: environment, logger: logger, groups: make(map[string]*group), transactions: make(transactions)}
	s.retention = newTimer(s.expireOffsets)
	return s
}

// Loaded ends the replay: members get a full session from now on.
func (s *State) Loaded() {
	for _, id := range s.groupIDs() {
		g := s.groups[id]
		for _, m := range g.members {
			s.restartSession(m)
		}
		if len(g.members) > int(s.config.MaxSize) {
			s.prepareRebalance(g, reasonGroupTooLarge)
		}
	}
	s.schedule(s.retention, s.config.OffsetsCheckIntervalMs)
}

// groupIDs returns the ids of all groups, sorted.
func (s *State) groupIDs() []string { return slices.Sorted(maps.Keys(s.groups)) }

// groupOrNew returns the group and makes it if need be. A group that was made for a request that came to nothing has
// to be dropped again by dropVacant.
func (s *State) groupOrNew(id string) *group {
	g := s.groups[id]
	if g == nil {
		g = &group{id: id, stateSinceMs: -1}
		g.joinTimer = newTimer(func() { s.joinDue(g) })
		g.syncTimer = newTimer(func() { s.syncDue(g) })
		s.groups[id] = g
	}
	return g
}

// dropVacant forgets a group of which nothing is left and nothing was ever written.
func (s *State) dropVacant(g *group) {
	if g.phase == Empty && !g.stored && len(g.members) == 0 && len(g.pending) == 0 && !g.hasOffsets() {
		s.forget(g)
	}
}

// forget removes a group with its timers. Its members must have been answered.
func (s *State) forget(g *group) {
	s.cancel(g.joinTimer)
	s.cancel(g.syncTimer)
	for _, m := range g.members {
		s.cancel(m.session)
	}
	for _, t := range g.pending {
		s.cancel(t)
	}
	if s.groups[g.id] == g {
		delete(s.groups, g.id)
	}
}

// append writes records in one batch. An error has been logged.
func (s *State) append(what string, g string, records ...record.Record) error {
	err := s.environment.Append(s.wallMs, records)
	if err != nil {
		s.logger.Warn("group records not written", "what", what, "group", g, "records", len(records), "error", err)
	}
	return err
}
