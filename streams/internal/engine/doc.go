// Package engine runs compiled topologies. A [Task] is one sub-topology for one partition, without a client and without a
// goroutine: whoever drives it feeds it records, takes what it produces, and commits. A [Shell] drives the tasks that a
// consumer group assigns to a process; streamstest drives them without a broker.
//
// A commit goes through these states; a task's stores are only written behind its end:
//
//	RESTORING  a lane opens the task and reads its changelogs up to their ends         Shell.openTask, restorer
//	READY      nothing is open                                                        lane.setReady
//	OPEN       records are processed, results produced in a transaction                lane.Process, lane.Tick
//	PREPARE    dirty keys go to the changelogs                                         lane.Prepare, Task.Prepare
//	OFFSETS    input offsets join the transaction, with metadata that is new each time consumer.Outlet.Commit
//	ENDING     the transaction ends                                                   consumer.Outlet.Commit
//	IN_DOUBT   a new producer id ends it, the broker's offsets tell how               consumer.Outlet.Commit
//	APPLY      the stores keep what was dirty                                         lane.Committed, Task.Committed
//	ABORTING   everything is undone, and read again from the committed offsets         lane.Revoked (rewound)
//	LOST       the task is somebody else's                                            lane.Revoked (lost)
//
// What can fail, and the test (of package streams) that has it fail:
//
//	crash at OPEN, PREPARE, OFFSETS, ENDING, before APPLY, before a flush   TestCrash
//	crash in RESTORING, again and again                                    TestCutWhileRestoring
//	an answer or a request is lost at each of them                         TestFault
//	disk full in APPLY                                                     TestDiskFullInApply
//	rebalance in OPEN                                                      TestRebalanceInOpen
//	a paused process resumes                                               TestPausedProcess
//	a zombie's transaction without offsets                                 TestPausedProcessWithoutInput
//	changelog recreated, truncated                                         TestChangelogCreatedAnew, TestChangelogTruncated
//	a changelog that keeps less than is needed                             TestInternalTopicsKeepWhatIsNeeded
//	events older than a changelog keeps anything                           TestOldEventsOutliveRetention
//	local disk older than delete.retention.ms                              TestDiskOlderThanDeletions
//	committed input offset expired                                         TestCommittedOffsetsExpired
//	two processes on one state directory                                   TestTwoProcessesOnOneStateDirectory
//	the broker dies, or is away, for long, and in RESTORING                TestRestartOfTheBroker, TestALongOutage
//	a disk that takes long in RESTORING                                    TestASlowDiskIsNoBlockedFunction
//	a function blocks, panics                                              TestABlockedFunctionIsLeftBehind, TestAPanicNamesTheRecord
package engine
