package txn

import "slices"

// markersPerAnswerMax bounds how many transactions' markers are handed out at once.
const markersPerAnswerMax = 1000

// Marker is an outcome that has to be written to partitions.
type Marker struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	Commit          bool
	// NewEpochOnly says that the epoch is higher than that of every record of the transaction (KIP-890), so that a
	// partition can tell a late marker from the one of a later transaction (KIP-1228).
	NewEpochOnly bool
	Partitions   []Partition // sorted, not to be changed
	Decision     uint64      // names the decision to Written
}

// Markers hands out the markers of decided transactions: a []Marker of at least one, or nil if the ticket will be replied
// to when there is one. Every decision is handed out once: who takes it owes Written for all its partitions, and may
// take all the time it needs. Only one ticket waits; if another comes, the first is answered with an empty []Marker.
//
// The answer rests on the records of the decisions, like any other. Who lets it out only when these are committed never
// writes a marker for an outcome that a crash could take back.
func (s *State) Markers(to Ticket) any {
	if len(s.ready) > 0 {
		return s.takeReady()
	}
	if s.writer != 0 {
		s.environment.Reply(s.writer, []Marker{})
	}
	s.writer = to
	return nil
}

func (s *State) takeReady() []Marker {
	count := min(len(s.ready), markersPerAnswerMax)
	markers := make([]Marker, count)
	for i, t := range s.ready[:count] {
		markers[i] = Marker{
			TransactionalID: t.id,
			ProducerID:      t.producerID,
			ProducerEpoch:   t.producerEpoch,
			Commit:          t.phase == PrepareCommit,
			NewEpochOnly:    t.version >= epochPerTransaction,
			Partitions:      t.unwritten,
			Decision:        t.decision,
		}
	}
	s.ready = slices.Delete(s.ready, 0, count)
	return markers
}

// carryOut has the markers of a decided transaction written.
func (s *State) carryOut(t *transaction) {
	s.decisions++
	t.decision = s.decisions
	t.unwritten = t.partitions
	if len(t.unwritten) == 0 {
		s.complete(t)
		return
	}
	s.ready = append(s.ready, t)
	if to := s.writer; to != 0 {
		s.writer = 0
		s.environment.Reply(to, s.takeReady())
	}
}

// Written says that a marker is committed in these partitions, or that they are no more. It returns false if that was
// not awaited, which changes nothing. With the last partition the transaction is complete.
func (s *State) Written(m Marker, partitions []Partition) bool {
	t := s.transactions[m.TransactionalID]
	if t == nil || t.decision == 0 || t.decision != m.Decision {
		return false
	}
	written := make(map[Partition]struct{}, len(partitions)) // there may be thousands of both
	for _, p := range partitions {
		written[p] = struct{}{}
	}
	left := slices.DeleteFunc(slices.Clone(t.unwritten), func(p Partition) bool {
		_, is := written[p]
		return is
	})
	if len(left) == len(t.unwritten) {
		return false
	}
	t.unwritten = left
	if len(left) == 0 {
		s.complete(t)
	}
	return true
}

// complete ends a transaction of which nothing is left to do. Who waits for that is answered first: the answer rests on
// the decision and on the markers, and need not wait for the record that says so. Without that record a restart writes
// the markers again, which changes nothing.
func (s *State) complete(t *transaction) {
	s.answerEnd(t)
	if s.change(t, t.completed()) != None {
		s.wakeAt(t, s.nowMs+retryMs)
		return
	}
	t.decision = 0
	t.unwritten = nil
	s.forgetDeadline(t)
}
