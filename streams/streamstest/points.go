package streamstest

import "fmt"

// Point is a place in the course of a process where a crash, or an abort, makes a difference.
type Point int

// The points of a commit are in the order in which a process comes by them.
const (
	// Processing is after a batch of records, when no commit is under way: the transaction is open.
	Processing Point = iota
	// Prepared is when all changes are in the changelog and all output is written, in the open transaction.
	Prepared
	// OffsetsSent is when the offsets are in the transaction, too.
	OffsetsSent
	// Decided is when the transaction is committed, and the process does not know that yet.
	Decided
	// Applying is when one task of several has taken over what is committed into its state; after the first of them.
	Applying
	// Applied is when all tasks have. The commit is over.
	Applied
	// Starting is when a process has opened all its tasks and brought their state up to date, before their first record.
	Starting
	// Flushing is before a write to the disk, of which there are many: when stores are opened, and when they are written.
	Flushing
)

var pointNames = [...]string{"processing", "prepared", "offsets sent", "decided", "applying", "applied", "starting", "flushing"}

// Points are all of them.
func Points() []Point {
	return []Point{Processing, Prepared, OffsetsSent, Decided, Applying, Applied, Starting, Flushing}
}

// String is the point in words.
func (p Point) String() string {
	if p < 0 || int(p) >= len(pointNames) {
		return fmt.Sprintf("point %d", int(p))
	}
	return pointNames[p]
}
