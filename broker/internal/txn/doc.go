// Package txn is the transaction coordinator as a pure state machine: producer ids of transactional producers (KIP-98,
// KIP-360), the partitions of their transactions, the decisions about them and the markers that carry those out, in both
// protocols: the old one, and the one of KIP-890 where every transaction has an epoch of its own.
//
// A State holds the transactional ids of one partition of __transaction_state. It starts no goroutine, touches no file
// and knows no request version: time comes in by Advance, and what it does to the world (append records, answer a
// waiting request, ask for a producer id) are functions in its Environment.
//
// A transaction goes Empty, Ongoing, PrepareCommit or PrepareAbort, CompleteCommit or CompleteAbort, and Ongoing again.
// Every step is one record. With the Prepare record the outcome is decided; Markers hands the work out then, and Written
// takes it back. Kafka's phases Dead and PrepareEpochFence are steps that happen here within one call, so no transaction
// is ever seen in them.
//
// Where a request and the state disagree, the code is that of Apache Kafka 4.3. On purpose stricter, each time with
// ProducerFenced: InitProducerId that names the epoch it expects while a transaction of another epoch is open, which Kafka
// would abort; and EndTxn of KIP-890 with the epoch before the present one when that transaction was not ended so, which
// Kafka would take for a repeated request and answer with the epoch of the producer that has fenced it.
//
// Invariants, by name:
//   - one outcome: between two Ongoing phases a transaction is decided once, and markers say nothing else.
//   - monotone epoch: of one producer id the epoch never goes down, nor does a transactional id return to an old one.
//   - no loose end: a transaction completes only when every partition of it was reported written.
//   - one answer: every ticket is answered exactly once; that of End at the latest after endWaitMs.
//   - no late hand: a request that names an epoch has no effect on a transaction of another epoch.
//   - restart is replay: what the appended records say is the durable part of the state.
package txn
