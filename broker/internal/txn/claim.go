package txn

import "slices"

// Claim is a producer's claim that partitions are part of its transaction: AddPartitionsToTxn, AddOffsetsToTxn (with the
// partition of __consumer_offsets that holds the group), and what Produce and TxnOffsetCommit say without words.
type Claim struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	Partitions      []Partition
	// Add makes the partitions part of the transaction, which begins with the first. Otherwise they are looked up: what
	// is not part of the transaction of exactly this producer and epoch is TransactionAbortable.
	Add bool
	// Version is the client's transaction version: 2 if its partitions are added by Produce and TxnOffsetCommit or by
	// AddPartitionsToTxn from version 4 on, else 0.
	Version int16
}

// Claim answers for each partition, in order; where it adds, all or none.
// Codes: InvalidRequest, InvalidProducerIDMapping, ProducerFenced, ConcurrentTransactions, TransactionAbortable,
// CoordinatorNotAvailable (not written).
func (s *State) Claim(c Claim) []Code {
	t := s.transactions[c.TransactionalID]
	code := checkClaim(t, c)
	if code == None && c.Add {
		code = s.add(t, c)
	}
	codes := slices.Repeat([]Code{code}, len(c.Partitions))
	if code != None || c.Add {
		return codes
	}
	for i, p := range c.Partitions {
		if !t.has(p) {
			codes[i] = TransactionAbortable
		}
	}
	return codes
}

// checkClaim says whether a claim is about the present epoch. While an outcome is carried out, which epoch is the present
// one is about to change, and a client that knows it already must not be told that it is fenced.
func checkClaim(t *transaction, c Claim) Code {
	switch {
	case c.TransactionalID == "":
		return InvalidRequest
	case t == nil:
		return InvalidProducerIDMapping
	case t.phase.decided() && c.Add:
		return ConcurrentTransactions
	case c.ProducerID != t.producerID:
		return InvalidProducerIDMapping
	case c.ProducerEpoch != t.producerEpoch:
		return ProducerFenced
	case t.phase.decided():
		return ConcurrentTransactions
	}
	return None
}

// add makes the partitions part of the transaction, and begins it if need be.
func (s *State) add(t *transaction, c Claim) Code {
	begins := t.phase != Ongoing
	if !begins && !slices.ContainsFunc(c.Partitions, func(p Partition) bool { return !t.has(p) }) {
		return None
	}
	code := s.change(t, t.with(c.Partitions, c.Version, s.wallMs))
	if code == None && begins {
		s.watch(t)
	}
	return code
}
