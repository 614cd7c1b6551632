package cluster

import (
	"fmt"
	"maps"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer appends records, in transactions where it has a transactional id. A transaction begins with the first record or
// offset after the last one ended.
type Producer struct {
	cluster      *Cluster
	id           string
	partitioners map[string]kgo.TopicPartitioner
	turns        map[string]int // records without a key so far, by topic: they go around its partitions
	transaction  *transaction   // nil: none is open
}

type outcome int

const (
	open outcome = iota
	committed
	aborted
)

// transaction is what becomes visible at once or never.
type transaction struct {
	outcome outcome
	logs    []*Log // that have records of it
	offsets map[Partition]Offset
}

// Producer returns a new producer of a transactional id; "" stands for one without transactions. What an earlier producer of
// the id has open is aborted, and all its calls fail from now on with kerr.ProducerFenced.
func (c *Cluster) Producer(transactionalID string) *Producer {
	p := &Producer{cluster: c, id: transactionalID, partitioners: map[string]kgo.TopicPartitioner{}, turns: map[string]int{}}
	if transactionalID == "" {
		return p
	}
	if earlier := c.producers[transactionalID]; earlier != nil && earlier.transaction != nil {
		earlier.end(aborted)
	}
	c.producers[transactionalID] = p
	return p
}

// Produce appends a record and sets its partition and its offset. A negative partition is chosen as Kafka's clients do: by
// the key's murmur2 hash, and in turn without a key. The record's slices belong to the log from now on. It fails with
// kerr.ProducerFenced, kerr.UnknownTopicOrPartition, and what the topic's Reject says.
func (p *Producer) Produce(r *kgo.Record) error {
	if err := p.fenced(); err != nil {
		return fmt.Errorf("produce to %s: %w", r.Topic, err)
	}
	topic := p.cluster.topics[r.Topic]
	if topic == nil {
		return fmt.Errorf("produce to %s: %w", r.Topic, kerr.UnknownTopicOrPartition)
	}
	if topic.Reject != nil {
		if err := topic.Reject(r); err != nil {
			return fmt.Errorf("produce to %s: %w", r.Topic, err)
		}
	}
	if r.Partition < 0 {
		r.Partition = p.choose(topic, r)
	}
	log, err := p.cluster.Log(Partition{r.Topic, r.Partition})
	if err != nil {
		return fmt.Errorf("produce to %s: %w", r.Topic, err)
	}
	var t *transaction
	if p.id != "" {
		t = p.begin()
	}
	log.append(r, t, p.cluster.NowMs)
	return nil
}

// choose returns the partition of a record.
func (p *Producer) choose(topic *Topic, r *kgo.Record) int32 {
	n := len(topic.Partitions)
	if r.Key == nil {
		p.turns[topic.Name]++
		return int32((p.turns[topic.Name] - 1) % n)
	}
	partitioner := p.partitioners[topic.Name]
	if partitioner == nil {
		partitioner = kgo.StickyKeyPartitioner(nil).ForTopic(topic.Name)
		p.partitioners[topic.Name] = partitioner
	}
	return int32(partitioner.Partition(r, n))
}

// CommitOffsets notes how far the group is: at once, or where there are transactions, with the end of this one. It fails with
// kerr.IllegalGeneration for a generation that is over, and with kerr.ProducerFenced.
func (p *Producer) CommitOffsets(generation int, offsets map[Partition]Offset) error {
	if err := p.fenced(); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	if generation != p.cluster.generation {
		return fmt.Errorf("commit offsets in generation %d of %d: %w", generation, p.cluster.generation, kerr.IllegalGeneration)
	}
	if p.id == "" {
		maps.Copy(p.cluster.committed, offsets)
		return nil
	}
	maps.Copy(p.begin().offsets, offsets)
	return nil
}

// Commit ends the transaction, if one is open: its records and offsets count. It fails with kerr.ProducerFenced.
func (p *Producer) Commit() error { return p.finish(committed) }

// Abort ends the transaction, if one is open: its records and offsets count for nothing. It fails with kerr.ProducerFenced.
func (p *Producer) Abort() error { return p.finish(aborted) }

func (p *Producer) finish(how outcome) error {
	if err := p.fenced(); err != nil {
		return fmt.Errorf("end transaction: %w", err)
	}
	if p.transaction != nil {
		p.end(how)
	}
	return nil
}

func (p *Producer) end(how outcome) {
	t := p.transaction
	p.transaction, t.outcome = nil, how
	for _, log := range t.logs {
		log.mark(t)
	}
	if how == committed {
		maps.Copy(p.cluster.committed, t.offsets)
	}
}

// begin returns the open transaction.
func (p *Producer) begin() *transaction {
	if p.transaction == nil {
		p.transaction = &transaction{offsets: map[Partition]Offset{}}
	}
	return p.transaction
}

func (p *Producer) fenced() error {
	if p.id != "" && p.cluster.producers[p.id] != p {
		return kerr.ProducerFenced
	}
	return nil
}

// Expire aborts what the producer of a transactional id has open, and fences it, as the coordinator does when a transaction takes too
// long.
func (c *Cluster) Expire(transactionalID string) { c.Producer(transactionalID) }
