package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ReaderOptions say what a Reader reads.
type ReaderOptions struct {
	Client []kgo.Opt // how to reach the brokers, and how to fetch. Needed
	Spans  []Span    // at most one for a partition; Resolve makes them
	// Uncommitted also reads records of transactions that are open or aborted. Otherwise an open transaction holds up what
	// comes after it.
	Uncommitted bool
}

// Reader reads spans of partitions without being a member of a group. It knows its position in each exactly, behind what
// nobody sees too: markers of transactions, aborted records and gaps that compaction left. It is not safe for concurrent use.
type Reader struct {
	options   ReaderOptions
	client    *kgo.Client
	positions map[TopicPartition]*position
	left      int // positions that are not at their ends
	ready     []Portion
}

type position struct {
	at, to int64
	ended  bool // what leads to the end is ready
}

// Portion is what was read of one partition at a time.
type Portion struct {
	TopicPartition
	Records []*kgo.Record // may be empty: the position has moved, and nobody sees by what
	Next    int64         // the position behind them
}

// probeAfter is after what time without news a Reader asks whether there is only something that nobody sees before the end.
const probeAfter = 300 * time.Millisecond

// NewReader begins to fetch. An error of Next that wraps OFFSET_OUT_OF_RANGE (kerr.OffsetOutOfRange) means that a span is not, or
// no longer, all there.
func NewReader(options ReaderOptions) (*Reader, error) {
	r := &Reader{options: options, positions: map[TopicPartition]*position{}}
	offsets := map[string]map[int32]kgo.Offset{}
	for _, span := range options.Spans {
		if r.positions[span.TopicPartition] != nil {
			return nil, fmt.Errorf("consumer: two spans of %v", span.TopicPartition)
		}
		r.positions[span.TopicPartition] = &position{at: span.From, to: span.To, ended: span.isDone()}
		if span.isDone() {
			continue
		}
		r.left++
		if offsets[span.Topic] == nil {
			offsets[span.Topic] = map[int32]kgo.Offset{}
		}
		offsets[span.Topic][span.Partition] = kgo.NoResetOffset().At(span.From)
	}
	isolation := kgo.ReadCommitted()
	if options.Uncommitted {
		isolation = kgo.ReadUncommitted()
	}
	own := []kgo.Opt{kgo.ConsumePartitions(offsets), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.KeepControlRecords(), kgo.FetchIsolationLevel(isolation)}
	client, err := kgo.NewClient(append(options.Client[:len(options.Client):len(options.Client)], own...)...)
	if err != nil {
		return nil, err
	}
	r.client = client
	return r, nil
}

// Close ends fetching.
func (r *Reader) Close() { r.client.Close() }

// Position returns the next offset to be read, which everything that Next returned lies below.
func (r *Reader) Position(partition TopicPartition) int64 {
	if p := r.positions[partition]; p != nil {
		return p.at
	}
	return -1
}

// Next returns the next records of some partition, in order within each. It waits until there are some or ctx ends; io.EOF means
// that all spans are read. After another error, reading can go on.
func (r *Reader) Next(ctx context.Context) (Portion, error) {
	for {
		if len(r.ready) > 0 {
			portion := r.ready[0]
			r.ready = r.ready[1:]
			r.positions[portion.TopicPartition].at = portion.Next
			return portion, nil
		}
		if r.left == 0 {
			return Portion{}, io.EOF
		}
		poll, cancel := context.WithTimeout(ctx, probeAfter)
		err := r.take(r.client.PollFetches(poll))
		quiet := poll.Err() != nil
		cancel()
		if err == nil && quiet && ctx.Err() == nil && len(r.ready) == 0 {
			err = r.probe(ctx)
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return Portion{}, err
		}
	}
}

// take makes portions of what was fetched.
func (r *Reader) take(fetches kgo.Fetches) (failed error) {
	fetches.EachError(func(topic string, partition int32, err error) {
		if failed == nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			failed = fmt.Errorf("read %v: %w", TopicPartition{topic, partition}, err)
		}
	})
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		name := TopicPartition{f.Topic, f.Partition}
		if p := r.positions[name]; p != nil && !p.ended && len(f.Records) > 0 {
			r.add(name, p, f.Records)
		}
	})
	return failed
}

// add queues the records that lie within the span.
func (r *Reader) add(name TopicPartition, p *position, records []*kgo.Record) {
	portion := Portion{TopicPartition: name, Next: records[len(records)-1].Offset + 1, Records: records[:0]}
	for _, record := range records {
		if p.to >= 0 && record.Offset >= p.to {
			break
		}
		if !record.Attrs.IsControl() {
			portion.Records = append(portion.Records, record)
		}
	}
	r.move(p, portion)
}

// move queues a portion, and ends the fetching of a partition that has come to its end.
func (r *Reader) move(p *position, portion Portion) {
	if p.to >= 0 && portion.Next >= p.to {
		portion.Next, p.ended = p.to, true
		r.left--
		r.client.RemoveConsumePartitions(map[string][]int32{portion.Topic: {portion.Partition}})
	}
	r.ready = append(r.ready, portion)
}
