package group

import (
	"maps"
	"slices"

	"github.com/millrace/millrace/log/record"
)

// Producer is who commits offsets in a transaction.
type Producer struct {
	ID    int64
	Epoch int16
	// Verified is handed through to Environment.AppendTransactional: what proves that the transaction is open.
	Verified any
}

// TransactionEnd is the marker that ends a producer's transaction in this partition.
type TransactionEnd struct {
	Marker record.EndTxnMarker
	// NewEpochOnly refuses a marker whose epoch is not above the transaction's (KIP-1228).
	NewEpochOnly bool
}

// noTransaction is the producer id of records that are in no transaction.
const noTransaction int64 = record.NoProducerID

// transactions are the groups for which open transactions have offsets, by producer id.
type transactions map[int64]map[string]struct{}

// CommitInTransaction stores offsets that count once the producer's transaction is committed (KIP-98, KIP-447). It
// returns one code for the request and, if that is None, one for each offset. The error is that of
// AppendTransactional; nothing was written then. r.RetentionMs must be -1.
func (s *State) CommitInTransaction(r CommitRequest, by Producer) (Code, []Code, error) {
	g := s.groups[r.Group]
	if g == nil && r.Generation >= 0 {
		return IllegalGeneration, nil, nil
	}
	g = s.groupOrNew(r.Group)
	defer func() { s.dropVacant(g) }()
	if code := g.transactionalCommitter(r); code != None {
		return code, nil, nil
	}
	records, codes := s.offsetRecords(r)
	if len(records) == 0 {
		return None, codes, nil
	}
	if err := s.environment.AppendTransactional(by, s.wallMs, records); err != nil {
		return None, nil, err
	}
	for _, written := range records {
		if err := s.ReplayTransactional(by.ID, written.Key, written.Value); err != nil {
			panic("group: own record does not replay: " + err.Error())
		}
	}
	return None, codes, nil
}

// transactionalCommitter checks who commits. Requests of old clients do not say; and the transaction, not the group, says
// what a member may still commit during a rebalance.
func (g *group) transactionalCommitter(r CommitRequest) Code {
	if r.Generation < 0 && (g.phase == Empty || r.MemberID == "" && r.InstanceID == "") {
		return None
	}
	if _, code := g.check(r.MemberID, r.InstanceID); code != None {
		return code
	}
	if r.Generation != g.generation {
		return IllegalGeneration
	}
	return None
}

// EndTransaction writes the end of a producer's transaction: its offsets are committed from now on, or gone. The error
// is that of AppendMarker; nothing was written then.
func (s *State) EndTransaction(end TransactionEnd) error {
	if err := s.environment.AppendMarker(end); err != nil {
		return err
	}
	committed := s.endTransaction(end.Marker)
	for groupID, count := range committed {
		if g := s.groups[groupID]; g != nil {
			g.commits += uint64(count)
		}
	}
	return nil
}

// ReplayTransactional applies one record of a producer's transaction, as Replay does for other records.
func (s *State) ReplayTransactional(producerID int64, key, value []byte) error {
	if isOffsetKey(key) {
		return s.replayOffset(producerID, key, value)
	}
	return s.Replay(key, value)
}

// ReplayMarker applies the end of a producer's transaction.
func (s *State) ReplayMarker(marker record.EndTxnMarker) error {
	s.endTransaction(marker)
	return nil
}

// endTransaction makes a producer's offsets committed, or drops them, and says how many were committed for each group. Of
// a plain commit and a transactional one the later record wins, and not the later marker: compaction keeps only that.
func (s *State) endTransaction(marker record.EndTxnMarker) map[string]int {
	committed := make(map[string]int)
	groupIDs := slices.Sorted(maps.Keys(s.transactions[marker.ProducerID]))
	delete(s.transactions, marker.ProducerID)
	for _, id := range groupIDs {
		g := s.groups[id]
		unstable := g.unstable[marker.ProducerID]
		delete(g.unstable, marker.ProducerID)
		for _, p := range unstable.partitions() {
			later, _ := unstable.get(p)
			if o, ok := g.offsets.get(p); marker.Type == record.ControlCommit && (!ok || o.place < later.place) {
				g.offsets.set(p, later)
				committed[id]++
			}
		}
		s.dropVacant(g)
	}
	return committed
}

// Unstable says whether an open transaction may change what a group has committed for a partition.
func (s *State) Unstable(groupID string, p TopicPartition) bool {
	g := s.groups[groupID]
	return g != nil && g.isUnstable(p)
}

// setUnstable takes in an offset of a producer's open transaction.
func (s *State) setUnstable(g *group, producerID int64, p TopicPartition, o placedOffset) {
	if g.unstable == nil {
		g.unstable = make(map[int64]offsets)
	}
	unstable := g.unstable[producerID]
	unstable.set(p, o)
	g.unstable[producerID] = unstable
	if s.transactions[producerID] == nil {
		s.transactions[producerID] = make(map[string]struct{})
	}
	s.transactions[producerID][g.id] = struct{}{}
}

// dropUnstable takes the offsets for p out of all open transactions.
func (s *State) dropUnstable(g *group, p TopicPartition) {
	for producerID, o := range g.unstable {
		o.drop(p)
		if len(o) > 0 {
			continue
		}
		delete(g.unstable, producerID)
		delete(s.transactions[producerID], g.id)
		if len(s.transactions[producerID]) == 0 {
			delete(s.transactions, producerID)
		}
	}
}
