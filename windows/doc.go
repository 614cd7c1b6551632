// Package windows is the algebra of windows on event time: which windows a timestamp belongs to, when a window closes, how
// sessions grow and merge, and what the time of a stream is. It is pure: no clock, no goroutine, no bytes; the wall clock is
// an argument.
//
// All times are milliseconds since 1970, as in Kafka's records. A negative one belongs to no window, and no window begins
// below zero. Sums that would leave the range of int64 stop at its ends, so a window near the end of time is merely shorter.
//
// The rules are those of Kafka Streams. The time of a stream is the highest timestamp it has seen, the record at hand
// included. Tumbling and hopping windows are half-open, [start, end), and take a record as long as end > stream time - grace.
// Sessions reach from their first to their last record, both included; one takes a record as long as the session that results
// ends at stream time - gap - grace or later.
//
// Three things Kafka Streams does not have: [Time.Idle] lets the time of a stream go on when nothing comes, [Time.MaxAhead]
// keeps timestamps from the future from moving it, and a [Clock] can be saved and restored, so that a restart does not forget
// what was late.
//
// Invariants, each with the test that holds it:
//   - a timestamp is in exactly the windows that contain it: TestStartsAreAllWindowsThatContainATimestamp
//   - a window that is closed accepts nothing, one that is open everything: TestClosedAndAcceptedAreOpposites
//   - stream time never goes back: TestClockMatchesANaiveModel
//   - a restored clock goes on as the one it was saved from: TestARestoredClockGoesOn
package windows
