// Package history judges what clients have seen of a broker: whether every promise that it gave was kept. It is pure:
// a test records what clients asked and were told, in the order in which they asked and were told it, and Check says
// what is wrong. It has the strength of the Jepsen Kafka workload for idempotent producers without transactions.
package history

import (
	"fmt"
	"sync"
)

// Place is a partition.
type Place struct {
	Topic     string
	Partition int32
}

func (p Place) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Partition) }

// Record tells a record apart: Number counts up within a producer and a place, Sum is that of all its bytes.
type Record struct {
	Producer string
	Number   int64
	Sum      uint64
}

func (r Record) String() string { return fmt.Sprintf("%s/%d", r.Producer, r.Number) }

// Moment is a position in a history: what was recorded before it is known to have happened.
type Moment int

// The events. Each says what was asked or told; their order in the history is real time.
type (
	// Sent: a producer is about to send the record.
	Sent struct {
		Place
		Record Record
	}
	// Acked: the broker has acknowledged the record at the offset.
	Acked struct {
		Place
		Record Record
		Offset int64
	}
	// Assigned: the reader starts over at the place: for a group, at its committed offset; otherwise at From.
	Assigned struct {
		Place
		Reader, Group string // Group is empty for a reader without one
		From          int64
	}
	// Read: the reader was given the record.
	Read struct {
		Place
		Reader, Group string
		Offset        int64
		Record        Record
	}
	// End: the end of the place was asked for at Since and told.
	End struct {
		Place
		Since  Moment
		Offset int64
	}
	// CommitAsked: a member of the group is about to commit the offset.
	CommitAsked struct {
		Place
		Group  string
		Offset int64
	}
	// CommitAcked: the broker has acknowledged that commit.
	CommitAcked struct {
		Place
		Group  string
		Offset int64
	}
	// CommitSeen: the group's committed offset was asked for at Since and told; -1 where there is none.
	CommitSeen struct {
		Place
		Group  string
		Since  Moment
		Offset int64
	}
	// TopicAsked, TopicCreated: a client is about to create the topic; the broker says that it did. A name is used once.
	TopicAsked   struct{ Topic string }
	TopicCreated struct{ Topic string }
	// DeleteAsked, Deleted: a client is about to delete the topic; the broker says that it did.
	DeleteAsked struct{ Topic string }
	Deleted     struct{ Topic string }
	// Topics: all topics that the broker had at the end.
	Topics struct{ Names []string }
	// Stored: what a place held at the end, from Start on, in the order in which it was read.
	Stored struct {
		Place
		Start   int64
		Records []StoredRecord
	}
)

// StoredRecord is a record at its offset.
type StoredRecord struct {
	Offset int64
	Record Record
}

// Recorder collects events from many clients. The zero value is ready.
type Recorder struct {
	mu     sync.Mutex
	events []any
}

// Add appends events.
func (r *Recorder) Add(events ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, events...)
}

// Now is the moment after all events so far.
func (r *Recorder) Now() Moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Moment(len(r.events))
}

// Events returns the events so far.
func (r *Recorder) Events() []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}
