package txn

import "math"

// Outcome is how a transaction came to its end.
type Outcome int8

// The outcomes. The last two are aborts that the producer did not ask for.
const (
	Committed Outcome = iota
	Aborted
	TimedOut // was open for longer than its timeout
	Fenced   // another producer has taken the transactional id over
	Outcomes = iota
)

// String is the outcome's name in metrics.
func (o Outcome) String() string {
	return [Outcomes]string{"committed", "aborted", "timed_out", "fenced"}[o]
}

// Figures are what metrics say about a State.
type Figures struct {
	TransactionalIDs int
	Open             int              // transactions whose outcome is not decided
	Decided          int              // whose markers are being written
	Overdue          int              // of these two those that began more than overdueFactor times their timeout ago
	OldestStartMs    int64            // of these two, on the wall clock; -1 if there are none
	Outcomes         [Outcomes]uint64 // transactions decided since the State was made
}

// overdueFactor is after how many timeouts a transaction should have ended, with its markers, whatever happened.
const overdueFactor = 2

// Figures counts.
func (s *State) Figures() Figures {
	f := Figures{TransactionalIDs: len(s.transactions), OldestStartMs: noStart, Outcomes: s.outcomes}
	for _, t := range s.transactions {
		switch {
		case t.phase == Ongoing:
			f.Open++
		case t.phase.decided():
			f.Decided++
		default:
			continue
		}
		if f.OldestStartMs == noStart || t.startMs < f.OldestStartMs {
			f.OldestStartMs = t.startMs
		}
		if t.timeoutMs != math.MaxInt32 && s.wallMs-t.startMs > overdueFactor*int64(t.timeoutMs) {
			f.Overdue++
		}
	}
	return f
}
