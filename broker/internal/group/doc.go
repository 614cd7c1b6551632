// Package group is the consumer group coordinator as a pure state machine: group membership by the classic rebalance
// protocol (JoinGroup to LeaveGroup, static members KIP-345, initial delay KIP-134, member ids KIP-394, skipped
// assignment KIP-814, reasons KIP-800), committed offsets and their retention (KIP-211), offsets that are committed with a
// transaction (KIP-98, KIP-447).
//
// A State holds the groups of one partition of __consumer_offsets. It starts no goroutine, touches no file and knows
// no request version: time comes in by Advance, random ids with the request, and the two things it does to the world
// (append records, answer a waiting request) are functions in its Environment.
//
// Invariants, by name:
//   - one answer: every ticket that a request brings is answered exactly once, at the latest when its deadlines fire.
//   - one leader: a group with members has exactly one leader, and it is a member.
//   - monotone generation: a group's generation never goes down while the group exists.
//   - current assignment: an assignment is taken only from the leader of the current generation.
//   - restart is replay: what the appended records and markers say is the durable part of the state.
//   - nothing before its marker: an offset of a transaction is not told before the transaction is committed, and never if it
//     is aborted; until then it is unstable.
package group
