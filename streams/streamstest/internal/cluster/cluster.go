package cluster

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Partition names a partition of a topic.
type Partition struct {
	Topic string
	Index int32
}

func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Index) }

// Offset is what a group has committed for a partition: where it reads next, and what it noted beside that.
type Offset struct {
	At       int64
	Metadata string
}

// Cluster has topics, the group that reads them, and the newest producer of each transactional id.
type Cluster struct {
	NowMs int64 // the time at which records are appended; whoever has a clock sets it

	topics     map[string]*Topic
	created    uint64 // topics so far, of which ids are made
	committed  map[Partition]Offset
	generation int
	producers  map[string]*Producer
}

// New returns a cluster without topics.
func New() *Cluster {
	return &Cluster{topics: map[string]*Topic{}, committed: map[Partition]Offset{}, producers: map[string]*Producer{}}
}

// Topic is a named list of logs.
type Topic struct {
	Name       string
	ID         [16]byte // differs from that of an earlier topic of this name
	Partitions []*Log
	Reject     func(*kgo.Record) error // nil: takes all records; else those for which it returns nil
}

// Create adds a topic. It fails with kerr.TopicAlreadyExists or kerr.InvalidPartitions.
func (c *Cluster) Create(name string, partitions int) (*Topic, error) {
	if c.topics[name] != nil {
		return nil, fmt.Errorf("create topic %s: %w", name, kerr.TopicAlreadyExists)
	}
	if partitions < 1 {
		return nil, fmt.Errorf("create topic %s with %d partitions: %w", name, partitions, kerr.InvalidPartitions)
	}
	c.created++
	topic := &Topic{Name: name, Partitions: make([]*Log, partitions)}
	binary.BigEndian.PutUint64(topic.ID[8:], c.created)
	for i := range topic.Partitions {
		topic.Partitions[i] = &Log{}
	}
	c.topics[name] = topic
	return topic, nil
}

// Delete removes a topic, its records and what was committed for it.
func (c *Cluster) Delete(name string) {
	delete(c.topics, name)
	maps.DeleteFunc(c.committed, func(p Partition, _ Offset) bool { return p.Topic == name })
}

// Topic returns the topic of a name, nil where there is none.
func (c *Cluster) Topic(name string) *Topic { return c.topics[name] }

// Topics returns all topics in the order of their names.
func (c *Cluster) Topics() []*Topic {
	return slices.SortedFunc(maps.Values(c.topics), func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
}

// Log returns the log of a partition. It fails with kerr.UnknownTopicOrPartition.
func (c *Cluster) Log(p Partition) (*Log, error) {
	topic := c.topics[p.Topic]
	if topic == nil || p.Index < 0 || int(p.Index) >= len(topic.Partitions) {
		return nil, fmt.Errorf("partition %s: %w", p, kerr.UnknownTopicOrPartition)
	}
	return topic.Partitions[p.Index], nil
}

// Committed returns what the group has committed for a partition.
func (c *Cluster) Committed(p Partition) (Offset, bool) {
	offset, found := c.committed[p]
	return offset, found
}

// IsPending says whether an open transaction has an offset for a partition: who asks for stable offsets waits for its end.
func (c *Cluster) IsPending(p Partition) bool {
	for _, producer := range c.producers {
		if producer.transaction == nil {
			continue
		}
		if _, pending := producer.transaction.offsets[p]; pending {
			return true
		}
	}
	return false
}

// Forget removes what the group has committed for a partition, as retention of offsets does.
func (c *Cluster) Forget(p Partition) { delete(c.committed, p) }

// Rebalance begins a new generation of the group and returns its number. Commits of older generations fail from now on.
func (c *Cluster) Rebalance() int {
	c.generation++
	return c.generation
}
