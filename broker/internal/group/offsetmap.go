package group

import (
	"maps"
	"slices"
)

// offsets are offsets by topic and partition.
type offsets map[string]map[int32]placedOffset

// placedOffset is an offset with the place of its record among the offset records of the log: the larger the later.
type placedOffset struct {
	Offset
	place int64
}

func (o offsets) get(p TopicPartition) (placedOffset, bool) {
	offset, ok := o[p.Topic][p.Partition]
	return offset, ok
}

func (o *offsets) set(p TopicPartition, offset placedOffset) {
	if *o == nil {
		*o = make(offsets)
	}
	if (*o)[p.Topic] == nil {
		(*o)[p.Topic] = make(map[int32]placedOffset)
	}
	(*o)[p.Topic][p.Partition] = offset
}

func (o offsets) drop(p TopicPartition) {
	delete(o[p.Topic], p.Partition)
	if len(o[p.Topic]) == 0 {
		delete(o, p.Topic)
	}
}

// partitions are sorted.
func (o offsets) partitions() []TopicPartition {
	var partitions []TopicPartition
	for _, topic := range slices.Sorted(maps.Keys(o)) {
		for _, partition := range slices.Sorted(maps.Keys(o[topic])) {
			partitions = append(partitions, TopicPartition{topic, partition})
		}
	}
	return partitions
}

// hasOffsets says whether the group has offsets, committed ones or those of open transactions.
func (g *group) hasOffsets() bool { return len(g.offsets) > 0 || len(g.unstable) > 0 }

// has says whether the group has an offset for p, a committed one or one of an open transaction.
func (g *group) has(p TopicPartition) bool {
	_, committed := g.offsets.get(p)
	return committed || g.isUnstable(p)
}

// isUnstable says whether an open transaction may change the offset of p.
func (g *group) isUnstable(p TopicPartition) bool {
	for _, o := range g.unstable {
		if _, ok := o.get(p); ok {
			return true
		}
	}
	return false
}

// all returns the partitions that the group has offsets for, committed ones or those of open transactions, sorted.
func (g *group) all() []TopicPartition {
	if len(g.unstable) == 0 {
		return g.offsets.partitions()
	}
	var merged offsets
	for _, p := range g.offsets.partitions() {
		merged.set(p, placedOffset{})
	}
	for _, o := range g.unstable {
		for _, p := range o.partitions() {
			merged.set(p, placedOffset{})
		}
	}
	return merged.partitions()
}
