package txn

import (
	"cmp"
	"math"
	"slices"
)

// Phase is where a transactional id is in its life.
type Phase int8

// The phases, with Kafka's names and numbers.
const (
	Empty             Phase = iota // has a producer id, and no transaction since it got that
	Ongoing                        // partitions are being added
	PrepareCommit                  // will be committed; markers are being written
	PrepareAbort                   // will be aborted; markers are being written
	CompleteCommit                 // was committed, and nothing has begun since
	CompleteAbort                  // was aborted, and nothing has begun since
	Dead                           // never seen: an expired id goes at once
	PrepareEpochFence              // never seen: fencing and PrepareAbort are one step
)

var phaseNames = [...]string{
	"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence",
}

// String is the name that clients see.
func (p Phase) String() string { return phaseNames[p] }

// PhaseNamed is the phase that clients call name; false if there is none.
func PhaseNamed(name string) (Phase, bool) {
	i := slices.Index(phaseNames[:], name)
	return Phase(i), i >= 0
}

// decided says whether the outcome is known and not yet carried out. Whoever asks for anything then has to come again.
func (p Phase) decided() bool { return p == PrepareCommit || p == PrepareAbort }

const (
	noProducerID    = -1
	noProducerEpoch = -1
	noStart         = -1

	// epochLast is the last epoch that a client gets. The one above is for fencing it.
	epochLast = math.MaxInt16 - 1

	// epochPerTransaction is the transaction version from which on every transaction has an epoch of its own (KIP-890).
	epochPerTransaction = 2
)

// Partition is one partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

func comparePartitions(a, b Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// metadata is the durable part of a transactional id: what one record of __transaction_state says. It is a value;
// partitions are sorted and never changed in place.
type metadata struct {
	phase              Phase
	producerID         int64
	previousProducerID int64 // the one before the last step, mostly the same
	nextProducerID     int64 // takes over when the transaction completes, -1 none
	producerEpoch      int16
	lastProducerEpoch  int16 // the epoch whose owner may learn the present one by asking again, -1 none
	timeoutMs          int32
	partitions         []Partition
	startMs            int64 // wall clock, -1 while there was no transaction
	updatedMs          int64 // wall clock
	version            int16 // of the protocol in which the transaction was begun or ended
}

// exhausted says whether the producer id has no further epoch to give to a client.
func (m *metadata) exhausted() bool { return m.producerEpoch >= epochLast }

// bumped is the epoch after epoch. It stays at the highest, which nobody was ever given.
func bumped(epoch int16) int16 { return max(epoch, epoch+1) }

// with is m with more partitions in its transaction.
func (m metadata) with(added []Partition, version int16, wallMs int64) metadata {
	if m.phase != Ongoing {
		m.startMs = wallMs
	}
	m.phase = Ongoing
	m.version = version
	all := slices.Concat(m.partitions, added)
	slices.SortFunc(all, comparePartitions)
	m.partitions = slices.Compact(all)
	return m
}

// has says whether the partition is part of the transaction.
func (m *metadata) has(p Partition) bool {
	_, found := slices.BinarySearchFunc(m.partitions, p, comparePartitions)
	return found
}

// prepared is m with its outcome decided. In the protocol of KIP-890 the producer's next epoch begins here, and if there
// is none left, nextProducerID takes over at the end.
func (m metadata) prepared(phase Phase, version int16, nextProducerID int64) metadata {
	m.phase = phase
	m.version = version
	m.nextProducerID = nextProducerID
	if version >= epochPerTransaction {
		m.lastProducerEpoch = m.producerEpoch
		m.producerEpoch = bumped(m.producerEpoch)
	}
	return m
}

// completed is m after all markers are written.
func (m metadata) completed() metadata {
	m.phase += CompleteCommit - PrepareCommit
	if m.version >= epochPerTransaction && m.nextProducerID != noProducerID {
		m.producerID = m.nextProducerID
		m.producerEpoch = 0
	}
	m.nextProducerID = noProducerID
	m.partitions = nil
	return m
}

// transaction is one transactional id.
type transaction struct {
	id string
	metadata
	unwritten  []Partition // of a decided transaction: no marker was reported written
	decision   uint64      // names the present decision in its markers; 0 none
	end        Ticket      // waits for the markers
	deadlineMs int64       // what is due then depends on the phase
	position   int         // in the queue of deadlines, -1 while not queued
}
