// Package partition is a partition as the broker serves it: a log, the numbers that say how far it may be read, and
// those who wait for the numbers to move. It is the one place that says "committed".
//
// # The numbers
//
//	logStart <= lastStable <= highWatermark <= durable <= logEnd
//
// logStart is the first offset that is kept, logEnd the next one to be given out. durable ends what survives a power
// cut. highWatermark ends what is committed: acknowledged to producers and visible to consumers. lastStable ends what
// a read_committed consumer sees: where the first transaction begins that is open, or whose marker is not committed;
// without one it is the high watermark. If records of such a transaction were deleted, it is the log start.
//
// The third inequality is what a topic's flush setting chooses:
//
//	commit    the high watermark follows durable: what was acknowledged survives a power cut
//	interval  it follows logEnd; the log is synced in the background every flush.ms or flush.messages
//	os        it follows logEnd; the operating system writes back when it likes, as with Apache Kafka
//
// In the last two the high watermark may pass durable; everything else holds in each mode.
//
// # Invariants
//
//   - ordered numbers: the line above, asserted at every move (package internal/invariant)
//   - never back: logStart, lastStable, highWatermark and durable only grow
//   - one committer: at most one goroutine of a partition syncs its log, and Close waits for it
//   - no late opening: a batch opens a transaction only if the coordinator agreed to it and no marker of its producer has
//     come since
//   - a failed sync is final: the partition acknowledges nothing more, and serves what was committed
package partition
