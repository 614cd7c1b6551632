package history

import "fmt"

// More kinds of what can be wrong, with transactions.
const (
	AbortedRead  = "aborted read"  // a record or an offset of a transaction that was aborted
	Precommitted = "precommitted"  // one of a transaction of which nobody had asked the commit
	Torn         = "torn"          // some of a transaction is there, and some is not
	StableAhead  = "stable ahead"  // a last stable offset beyond a record whose transaction is open
	StableBehind = "stable behind" // one before a record whose transaction was committed, or before an earlier one
	Unseen       = "unseen"        // a reader that has read everything was not given a record
)

// Outcome is what became of a transaction, as far as its producer was told.
type Outcome int

const (
	Unknown Outcome = iota
	Committed
	Aborted
)

// The events of transactions. The name of a transaction is used once, and its records carry it.
type (
	// TxnSent: a producer is about to send the record. A record may be sent in many transactions, of which one commits.
	TxnSent struct {
		Place
		Transaction string
		Record      Record
	}
	// TxnAcked: the broker has acknowledged the record at the offset.
	TxnAcked struct {
		Place
		Transaction string
		Record      Record
		Offset      int64
	}
	// TxnOffset: a producer is about to add the group's offset. The offsets of a group in a place only grow.
	TxnOffset struct {
		Place
		Transaction, Group string
		Offset             int64
	}
	// TxnCommitAsked: a producer is about to ask for the commit.
	TxnCommitAsked struct{ Transaction string }
	// TxnEnded: the producer was told the outcome. Where the answer was lost it is Unknown, and is told once the producer
	// has been given a new epoch, so that the transaction has ended either way.
	TxnEnded struct {
		Transaction string
		Outcome     Outcome
	}
	// TxnRead: a reader with read_committed was given the record, after an Assigned event of the reader.
	TxnRead struct {
		Place
		Reader      string
		Offset      int64
		Transaction string
		Record      Record
	}
	// TxnFinished: the reader has read the place to its end, when everything was decided.
	TxnFinished struct {
		Place
		Reader string
	}
	// LastStable: the last stable offset of the place was asked for at Since and told.
	LastStable struct {
		Place
		Since  Moment
		Offset int64
	}
	// TxnStored: what the place held for read_committed when everything was decided, in the order in which it was read.
	TxnStored struct {
		Place
		Records []TxnStoredRecord
	}
)

// TxnStoredRecord is a record at its offset, and the transaction that its bytes name.
type TxnStoredRecord struct {
	Offset      int64
	Transaction string
	Record      Record
}

// Promises are those that not every broker gives.
type Promises struct {
	// VisibleAtOnce: what was committed is below the last stable offset when the producer is told, unless another
	// transaction is open. Apache Kafka tells earlier, when it is decided.
	VisibleAtOnce bool
}

// TxnSummary counts what a history contains.
type TxnSummary struct {
	Sent, Committed, Aborted, Unknown, Stored, Read, Offsets, OffsetsSeen, LastStables int
}

func (s TxnSummary) String() string {
	return fmt.Sprintf("sent %d, committed %d, aborted %d, unknown %d, stored %d, read %d, offsets %d, seen %d, last stable offsets %d",
		s.Sent, s.Committed, s.Aborted, s.Unknown, s.Stored, s.Read, s.Offsets, s.OffsetsSeen, s.LastStables)
}

// CheckTransactions returns what is wrong with a history of transactions. All events must be of those above, Assigned
// without a group, or CommitSeen of an offset that was asked for with require_stable. Every place that was sent to must have
// a TxnStored, behind all other events but TxnFinished and CommitSeen. Time is linear in the events but for sorting.
func CheckTransactions(events []any, promises Promises) ([]Violation, TxnSummary) {
	c := newTxnChecker(promises)
	for i, e := range events {
		c.event(Moment(i), e)
	}
	c.finish()
	return c.violations, c.summary
}
