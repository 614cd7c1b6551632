// Package state has the local stores of a stream task: all stores of one task in one directory, a DB on Pebble, whose write-ahead log is
// off, since the changelogs in Kafka are one.
//
// A store has three layers. Slots in memory hold typed values and are found by the bytes of the encoded key. Below them lie changes that
// Kafka has committed and Pebble has not, as bytes. Below those is Pebble. A transaction ends with Changes, which encodes what is dirty for
// the changelog, and after Kafka's commit with Commit. Pebble is written seldom, in key order, in one batch with the Position: in Pebble
// a commit would cost ten times what it costs Kafka. An aborted transaction is undone by Close, Open and a replay of the changelogs from the
// Position, so values may be changed in place.
//
// What holds, and which tests fail when it does not:
//
//   - The disk has the state at its Position, whole batches, whenever a crash comes; replayed, it is what was committed:
//     TestStoresAreWhatAModelIs, TestCrashAfterEveryFileOperation.
//   - The first failure of the disk ends a DB, every later call tells it, and nothing is written any more: TestAFullDiskEndsTheDB.
//   - Caches, flushes, commits and crashes leave no trace in what is stored: TestCachesAndFlushesLeaveNoTrace.
//   - Queries see each key as it was committed, never older than before: TestQueriesNeverSeeHalfOfACommit.
//   - A directory has one owner, and its bytes are read only as they were written: TestADirectoryHasOneOwner,
//     TestAStoreOpensOnlyAsItWasWritten.
//   - What is not committed is never written, and no query sees it: TestStoresAreWhatAModelIs.
//   - Window and session stores are what a model is that keeps everything and looks at all of it, with expiry, crashes and queries:
//     TestWindowStoreIsWhatAModelIs, TestSessionStoreIsWhatAModelIs.
//   - What expires goes with the commit of the transaction that expired it, from memory and disk, and not without it:
//     TestExpiredWindowsLeaveTheDisk, TestAnExpiryThatIsNotCommittedTakesNothing.
package state
