// Package log is one partition's append-only log of record batches, in segments on disk. It is not about logging: that
// is log/slog.
//
// A Log knows batches (package record) and no requests. It starts no goroutine, reads no clock, and reaches files only
// through internal/disk. Append is for one goroutine at a time, Sync for one at a time, reads for any number meanwhile.
//
// # Files
//
// The directory is one of Kafka's: what has Kafka's name has Kafka's format, byte for byte, and a directory copied from
// Kafka opens. <base> and <offset> have 20 digits.
//
//	<base>.log                   batches as they go over the wire, back to back; the name is the first offset
//	<base>.index                 sparse: offset -> position
//	<base>.timeindex             sparse: largest timestamp so far -> offset
//	<base>.txnindex              transactions that were aborted in the segment; not there if none was
//	leader-epoch-checkpoint      where each leader epoch begins; saved when a segment is sealed
//	partition.metadata           the topic's id
//
// What Kafka has no file for goes into files with names of our own, which Kafka ignores:
//
//	<offset>.producers           producers below the offset, five batches each, and their open transactions
//	millrace.checkpoint          log start, recovery point, and whether the log was closed in order
//	millrace.syncmark            how far the log is durable, after every sync
//	millrace.cleaner             how far the log has been compacted, and below which offset some may be missing
//	<base>.<position>.torn       what recovery cut off the end, for whoever wants to know
//
// How batches become durable is one of two implementations of durability: groupCommit goes through the page cache and
// syncs, directWrites gathers in memory and writes past it (Config.Direct, docs/decisions/0014). The files are the same.
//
// docs/formats/partition-directory.md has the bytes.
//
// # Invariants
//
//   - dense offsets: every batch is appended where the one before it ends, across segments too; only below the offset that
//     millrace.cleaner says may some be missing, because compaction took them away, and never a segment's last batch
//     (asserted; TestWhatWasAppendedIsReadBack, TestHoleBetweenSegmentsIsDamage, TestLogIsASliceOfBatches,
//     TestGapsAreLegalOnlyBelowTheCleanerCheckpoint).
//   - the newest of each key stays: compaction removes a record only when a later one has its key, or when it is a tombstone
//     whose delete horizon has passed; offsets never change (TestCompactionKeepsTheLastRecordOfEachKey).
//   - reads go on: nobody who reads notices that segments are replaced (TestReadsGoOnWhileALogIsCompacted,
//     TestRangesStayReadableWhileTheirSegmentsAreReplaced).
//   - one or the other: a crash in a compaction leaves the segments as they were or the one that replaces them
//     (TestCrashAfterEveryOperation and TestEveryCallFailsOnce, the script "compact").
//   - only batches before the end: a file that is written directly may be longer, by zeros alone, until it is sealed
//     (TestDirectlyWrittenFilesAreTheSameAsBuffered, TestAnySubsetOfUnsyncedBlocksStarts).
//   - durable prefix: log start <= log end and durable <= log end; what is durable is a prefix, and a crash cuts behind it
//     or the log does not open (asserted; TestCrashAfterEveryOperation, TestDamageTakesTheLogOfflineAndChangesNothing).
//   - sealed is immutable: only the last segment is written to, compaction replaces files and changes none, and all that belongs to a segment is durable before the
//     next one exists, so that only the last one can have a torn tail (TestAnySubsetOfUnsyncedBlocksStarts).
//   - an index is only a hint: whatever it says is checked against the batch that it names before it is believed
//     (TestFilesThatAreHintsAreRebuilt, TestWrongIndexEntriesMisleadNobody).
//   - a failed sync is final: the log takes nothing more, and the next Open writes again what the failure may have lost
//     (TestFailedSyncIsStickyAndNeverRetried, TestEveryCallFailsOnce).
//   - the start is durable before a file goes: no crash during a deletion leaves a hole
//     (TestCrashAfterEveryOperation, the scripts "retention" and "delete before").
//   - recovery is idempotent: a second one changes nothing (TestTornTailIsSetAsideAndCut).
//   - transactions are a fold: what is open, what is stable and what was aborted follows from the batches alone, through
//     restarts, crashes, cuts, retention and compaction; below the first unstable offset every transaction is decided
//     (TestTransactionsAreAFoldOfTheLog, TestCrashAfterEveryOperation, the script "transactions").
//   - a marker outlives its records: compaction removes it only after the last batch of its transaction, and after its delete
//     horizon, so that nothing that was decided is ever open again (TestMarkersGoWhenTheirRecordsHave,
//     TestCompactionOfTransactionsSurvivesKills).
//   - producers outlive segments: what is known of them does not depend on what retention has left
//     (TestRetention, TestTruncateKeepsProducersWhoseSegmentsAreGone).
package log
