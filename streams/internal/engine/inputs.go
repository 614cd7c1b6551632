package engine

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"
)

// inputs are the partitions that a task reads, one of each source topic. Their records take turns by timestamp, each partition
// in the order of its offsets. An input that is known to have more is waited for; what a producer may still write is not.
type inputs []*input

// input is one partition that a task reads.
type input struct {
	Input
	topic     string // in Kafka
	partition int32
	gauges    *InputGauges

	queue []*kgo.Record
	head  int   // of queue
	next  int64 // what is fetched next, behind everything in the queue; -1: nothing is known
	end   int64 // where the partition ended when that was last heard of

	ahead  ahead
	headMs int64 // time of the head; valid if timed
	timed  bool

	lastOffset int64 // of the last record processed; -1: none was
	lastEpoch  int32 // the leader's epoch in which that was written
}

// add queues records. next is where the consumer goes on behind them, and behind what nobody sees; end is the last stable
// offset as the fetch saw it.
func (in *input) add(records []*kgo.Record, next, end int64) error {
	if next < in.next {
		return fmt.Errorf("task: records of %s-%d up to %d, after those up to %d: they were given before",
			in.topic, in.partition, next, in.next)
	}
	if in.head == len(in.queue) {
		in.queue, in.head, in.ahead.told = in.queue[:0], 0, 0
	}
	in.queue = append(in.queue, records...)
	in.next, in.end = next, end
	return nil
}

func (in *input) waiting() int { return len(in.queue) - in.head }

// isBehind says whether the partition is known to have records that have not been fetched, or nothing is known of it: then next is
// below the end 0.
func (in *input) isBehind() bool { return in.next < in.end }

// take removes the head.
func (in *input) take() *kgo.Record {
	in.ahead.look(in.queue, in.head)
	record := in.queue[in.head]
	in.queue[in.head] = nil
	in.head++
	in.timed = false
	return record
}

// position returns what is to be processed next: behind the last record processed, and behind what nobody sees after it; -1:
// nothing is known.
func (in *input) position() int64 {
	if in.waiting() > 0 {
		return in.queue[in.head].Offset
	}
	return in.next
}

// processed notes a record that was taken.
func (in *input) processed(record *kgo.Record) {
	in.lastOffset, in.lastEpoch = record.Offset, record.LeaderEpoch
}

// epochBefore returns the leader epoch of the record before an offset, and -1 where that is not known, as behind the marker of a
// transaction: it may be of a later epoch than the last record, and a client that is told of an earlier one takes that for lost records.
func (in *input) epochBefore(offset int64) int32 {
	if in.lastOffset >= 0 && offset == in.lastOffset+1 {
		return in.lastEpoch
	}
	return -1
}

// timeMs returns the time by which the head waits for its turn.
func (in *input) timeMs() int64 {
	if !in.timed {
		in.headMs, in.timed = in.orderMs(in.queue[in.head]), true
	}
	return in.headMs
}

func (in *input) orderMs(record *kgo.Record) int64 {
	if in.TimestampMs != nil {
		return in.TimestampMs(record)
	}
	return record.Timestamp.UnixMilli()
}

// choose returns the input whose turn it is, nil if there is nothing to process, or one that is behind is to be waited for.
func (all inputs) choose() *input {
	if len(all) == 1 {
		if all[0].waiting() > 0 {
			return all[0]
		}
		return nil
	}
	var best *input
	lowestMs := int64(math.MaxInt64)
	for _, in := range all {
		if in.waiting() == 0 {
			if in.isBehind() {
				return nil
			}
			continue
		}
		if ms := in.timeMs(); best == nil || ms < lowestMs {
			best, lowestMs = in, ms
		}
	}
	return best
}

// of returns the input of a topic, by its name in Kafka, nil if there is none.
func (all inputs) of(topic string) *input {
	for _, in := range all {
		if in.topic == topic {
			return in
		}
	}
	return nil
}

// areDrained says whether all is processed that is known to exist.
func (all inputs) areDrained() bool {
	for _, in := range all {
		if in.waiting() > 0 || in.isBehind() {
			return false
		}
	}
	return true
}
