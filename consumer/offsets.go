package consumer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns the name as topic/partition.
func (t TopicPartition) String() string { return fmt.Sprintf("%s/%d", t.Topic, t.Partition) }

func (t TopicPartition) compare(other TopicPartition) int {
	return cmp.Or(strings.Compare(t.Topic, other.Topic), cmp.Compare(t.Partition, other.Partition))
}

// Offset says how far a partition has been processed, as it is committed.
type Offset struct {
	At          int64  // the next record to process; -1: none is known
	LeaderEpoch int32  // of the record before it; -1: unknown
	Metadata    string // whatever the committer keeps beside it
}

// noOffset is the Offset of a partition of which nothing was committed or processed.
var noOffset = Offset{At: -1, LeaderEpoch: -1}

// Offsets are offsets of several partitions, as one commit has them.
type Offsets map[TopicPartition]Offset

// partitions returns the names in order, so that requests about them do not depend on chance.
func (o Offsets) partitions() []TopicPartition {
	return slices.SortedFunc(maps.Keys(o), TopicPartition.compare)
}

// sameIn reports whether all of o is in the other: offsets and metadata. Leader epochs are hints and do not count.
func (o Offsets) sameIn(other Offsets) bool {
	for partition, offset := range o {
		there, ok := other[partition]
		if !ok || there.At != offset.At || there.Metadata != offset.Metadata {
			return false
		}
	}
	return true
}

// progress is what is known of one partition's offsets during an assignment.
type progress struct {
	began     int64  // the first record that was taken; -1: none yet
	processed Offset // behind the last record that was processed
	committed Offset // what the broker has
}

// newProgress begins at what the broker has.
func newProgress(committed Offset) progress {
	return progress{began: -1, processed: noOffset, committed: committed}
}

// take notes the first record of a fetch.
func (p *progress) take(offset int64) {
	if p.began < 0 {
		p.began = offset
	}
}

// advance notes that everything below offset is processed.
func (p *progress) advance(offset int64, leaderEpoch int32) {
	p.processed = Offset{At: offset, LeaderEpoch: leaderEpoch}
}

// restart forgets what was processed and is not committed.
func (p *progress) restart(committed Offset) {
	p.processed, p.committed = noOffset, committed
}

// again returns where to read when all that is not committed is undone: -1 if nothing was taken.
func (p *progress) again() int64 {
	if p.committed.At >= 0 && p.began >= 0 {
		return p.committed.At
	}
	return p.began
}
