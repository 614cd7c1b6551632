package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/millrace/millrace/cmd/millrace/internal/whence"
	"github.com/millrace/millrace/consumer"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// partitionKey names one partition.
type partitionKey struct {
	topic     string
	partition int32
}

// partitionSpan is what is still to be read of one partition: offsets from next up to but not
// including to.
type partitionSpan struct {
	from int64 // records before it are not wanted
	next int64 // where the next record comes from
	to   int64 // noEnd: as far as it goes
}

const noEnd = int64(-1)

func (s *partitionSpan) done() bool { return s.to != noEnd && s.next >= s.to }

// cursor keeps the spans of all partitions. Safe for concurrent use: in a group, the client moves
// partitions in and out while records are read.
type cursor struct {
	mu struct {
		sync.Mutex
		spans    map[partitionKey]*partitionSpan
		assigned map[partitionKey]bool // what this process reads
		settled  bool                  // there was an assignment
	}
}

func newCursor(spans map[partitionKey]*partitionSpan) *cursor {
	c := &cursor{}
	c.mu.spans, c.mu.assigned = spans, map[partitionKey]bool{}
	return c
}

// take reports whether record is wanted, and moves behind it.
func (c *cursor) take(record *kgo.Record) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	span := c.mu.spans[partitionKey{record.Topic, record.Partition}]
	if span == nil {
		return !record.Attrs.IsControl() // a partition that was added meanwhile
	}
	if span.to != noEnd && record.Offset >= span.to {
		span.next = span.to
		return false
	}
	span.next = record.Offset + 1
	return record.Offset >= span.from && !record.Attrs.IsControl()
}

// assign says which partitions are read.
func (c *cursor) assign(partitions []consumer.TopicPartition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.settled = true
	clear(c.mu.assigned)
	for _, p := range partitions {
		c.mu.assigned[partitionKey{p.Topic, p.Partition}] = true
	}
}

// reach notes that everything below an offset is read, also what nobody sees.
func (c *cursor) reach(key partitionKey, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if span := c.mu.spans[key]; span != nil {
		span.next = max(span.next, offset)
	}
}

// startAt replaces where partitions of a group begin: at the committed offset where there is one,
// else where the span does.
func (c *cursor) startAt(offsets map[string]map[int32]kgo.Offset) map[string]map[int32]kgo.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	for topic, partitions := range offsets {
		for p, offset := range partitions {
			span := c.mu.spans[partitionKey{topic, p}]
			if span == nil {
				continue
			}
			if committed := offset.EpochOffset().Offset; committed >= 0 {
				span.next, span.from = committed, committed
				continue
			}
			partitions[p] = kgo.NewOffset().At(span.next)
		}
	}
	return offsets
}

// finished reports whether everything assigned has been read to its end.
func (c *cursor) finished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.settled {
		return false
	}
	for key := range c.mu.assigned {
		if span := c.mu.spans[key]; span == nil || !span.done() {
			return false
		}
	}
	return true
}

// offsets returns where the client begins in each partition that has something to read.
func (c *cursor) offsets() map[string]map[int32]kgo.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	offsets := map[string]map[int32]kgo.Offset{}
	for key, span := range c.mu.spans {
		if span.done() {
			continue
		}
		if offsets[key.topic] == nil {
			offsets[key.topic] = map[int32]kgo.Offset{}
		}
		offsets[key.topic][key.partition] = kgo.NewOffset().At(span.next)
	}
	return offsets
}

// listedOffsets are the offsets of partitions that a plan's bounds resolve against.
type listedOffsets struct {
	starts, ends     kadm.ListedOffsets
	fromTime, toTime kadm.ListedOffsets
}

// resolve turns the plan's offsets into spans, one per partition of its topics.
func (p *consumePlan) resolve(ctx context.Context, client *kadm.Client) (map[partitionKey]*partitionSpan, error) {
	topics, missing, err := findTopics(ctx, client, p.topics)
	if err != nil {
		return nil, err
	}
	for _, topic := range p.topics {
		if missing[topic] != nil {
			return nil, missing[topic]
		}
		for _, partition := range p.partitions {
			if count := len(topics[topic].Partitions); int(partition) >= count {
				return nil, fmt.Errorf("topic %q has no partition %d, only 0 to %d", topic, partition, count-1)
			}
		}
	}
	listed, err := p.listOffsets(ctx, client)
	if err != nil {
		return nil, err
	}
	spans := map[partitionKey]*partitionSpan{}
	for _, topic := range topics {
		for partition := range topic.Partitions {
			if !p.hasPartition(partition) {
				continue
			}
			key := partitionKey{topic.Topic, partition}
			if spans[key], err = p.span1(key, listed); err != nil {
				return nil, err
			}
		}
	}
	return spans, nil
}

func (p *consumePlan) listOffsets(ctx context.Context, client *kadm.Client) (listed listedOffsets, err error) {
	if listed.starts, err = client.ListStartOffsets(ctx, p.topics...); err != nil {
		return listed, err
	}
	// The last stable offset: what is behind it is not readable yet.
	if listed.ends, err = client.ListCommittedOffsets(ctx, p.topics...); err != nil {
		return listed, err
	}
	if ms, ok := p.span.From.Time(); ok {
		if listed.fromTime, err = client.ListOffsetsAfterMilli(ctx, ms, p.topics...); err != nil {
			return listed, err
		}
	}
	if ms, ok := p.span.To.Time(); ok && p.span.Bounded {
		listed.toTime, err = client.ListOffsetsAfterMilli(ctx, ms, p.topics...)
	}
	return listed, err
}

// span1 resolves one partition.
func (p *consumePlan) span1(key partitionKey, listed listedOffsets) (*partitionSpan, error) {
	first, err := listedOffset(key, listed.starts)
	if err != nil {
		return nil, err
	}
	next, err := listedOffset(key, listed.ends)
	if err != nil {
		return nil, err
	}
	bound := func(b whence.Bound, atTime kadm.ListedOffsets) (int64, error) {
		timeOffset := next
		if _, ok := b.Time(); ok {
			if timeOffset, err = listedOffset(key, atTime); err != nil {
				return 0, err
			}
		}
		return b.Resolve(first, next, timeOffset), nil
	}
	span := &partitionSpan{to: noEnd}
	if span.from, err = bound(p.span.From, listed.fromTime); err != nil {
		return nil, err
	}
	// A plain offset may be outside of what is there; the client begins where it can.
	span.next = min(next, max(first, span.from))
	if p.span.Bounded {
		if span.to, err = bound(p.span.To, listed.toTime); err != nil {
			return nil, err
		}
	}
	if p.toEnd {
		span.to = next
		if p.span.Bounded {
			to, err := bound(p.span.To, listed.toTime)
			if err != nil {
				return nil, err
			}
			span.to = min(to, next)
		}
	}
	return span, nil
}

func listedOffset(key partitionKey, listed kadm.ListedOffsets) (int64, error) {
	found, ok := listed.Lookup(key.topic, key.partition)
	if !ok {
		return 0, fmt.Errorf("no offsets of topic %q partition %d", key.topic, key.partition)
	}
	if found.Err != nil {
		return 0, fmt.Errorf("offsets of topic %q partition %d: %w", key.topic, key.partition, brokerError(found.Err, ""))
	}
	return found.Offset, nil
}
