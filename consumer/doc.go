// Package consumer processes the partitions of topics in order, with offsets that commit with the work.
//
// A [Group] is a member of a consumer group. Each of its partitions has a worker of its own, which gives batches of records
// to the partition's [Processor], one at a time and in order; a slow one holds up nobody else, and no more than
// Options.QueueBytes of records wait for it. What is committed is what was processed, never what was fetched:
//
//   - at least once: a second after it was processed, when a partition is given up, and at the end. Records that were
//     produced with [Partition.Produce] are acknowledged before;
//   - exactly once, with Options.TransactionalID: records that were produced and the offsets of the records they were made
//     from become visible together, in one transaction (KIP-447), or not at all.
//
// An [Outlet] is that last part alone, for work that no group hands out. A [Reader] reads partitions from one offset to
// another without a group, and knows its position behind records that nobody sees.
//
// Invariants, by name:
//   - processed only: no offset is committed before all records below it were processed.
//   - one at a time: of one worker, at most one call of its processors runs.
//   - broker's word: after a commit whose outcome is unknown, only the offsets that the broker has decide.
package consumer
