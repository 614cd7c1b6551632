package consumer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Span is the part of a partition from an offset up to but not including another.
type Span struct {
	TopicPartition
	From int64
	To   int64 // -1: without end
}

func (s Span) isDone() bool { return s.To >= 0 && s.From >= s.To }

// Bound is where a span begins or ends, before it is known which offset that is.
type Bound struct {
	kind   boundKind
	offset int64 // or milliseconds since 1970
}

type boundKind int

const (
	atStart boundKind = iota
	atOffset
	atTime
	atStableEnd
	atLogEnd
	never
)

// AtOffset is an offset.
func AtOffset(offset int64) Bound { return Bound{atOffset, offset} }

// AtStart is the first offset that a partition has.
func AtStart() Bound { return Bound{kind: atStart} }

// AtStableEnd is the end of a partition as a reader of committed records sees it now.
func AtStableEnd() Bound { return Bound{kind: atStableEnd} }

// AtLogEnd is the end of a partition now, with the records of transactions that are open. A Reader of committed records waits
// until those are decided.
func AtLogEnd() Bound { return Bound{kind: atLogEnd} }

// AtTime is the first record that is not older than t, the end if there is none.
func AtTime(t time.Time) Bound { return Bound{atTime, t.UnixMilli()} }

// Never is the end of a span that has none.
func Never() Bound { return Bound{kind: never} }

// Resolve returns a span of each partition of the topics, in order. An offset that a partition does not have any more, or not
// yet, is an error that wraps kerr.OffsetOutOfRange; a span whose end is before its beginning is empty.
func Resolve(ctx context.Context, client *kgo.Client, from, to Bound, topics ...string) ([]Span, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	r := resolver{ctx: ctx, admin: kadm.NewClient(client), topics: topics, listed: map[Bound]kadm.ListedOffsets{}}
	starts, err := r.list(AtStart())
	if err != nil {
		return nil, err
	}
	var spans []Span
	for _, start := range starts.Offsets().Sorted() {
		name := TopicPartition{start.Topic, start.Partition}
		span := Span{TopicPartition: name}
		if span.From, err = r.resolve(name, from); err != nil {
			return nil, err
		}
		if span.To, err = r.resolve(name, to); err != nil {
			return nil, err
		}
		if span.To >= 0 {
			span.To = max(span.To, span.From)
		}
		spans = append(spans, span)
	}
	slices.SortFunc(spans, func(a, b Span) int { return a.TopicPartition.compare(b.TopicPartition) })
	return spans, nil
}

// resolver asks for each kind of bound once.
type resolver struct {
	ctx    context.Context
	admin  *kadm.Client
	topics []string
	listed map[Bound]kadm.ListedOffsets
}

func (r *resolver) resolve(name TopicPartition, b Bound) (int64, error) {
	switch b.kind {
	case never:
		return -1, nil
	case atOffset:
		start, err := r.find(name, AtStart())
		if err != nil {
			return 0, err
		}
		end, err := r.find(name, AtLogEnd())
		if err != nil {
			return 0, err
		}
		if b.offset < start || b.offset > end {
			return 0, fmt.Errorf("offset %d of %v, which has %d to %d: %w", b.offset, name, start, end, kerr.OffsetOutOfRange)
		}
		return b.offset, nil
	}
	return r.find(name, b)
}

func (r *resolver) find(name TopicPartition, b Bound) (int64, error) {
	listed, err := r.list(b)
	if err != nil {
		return 0, err
	}
	found, ok := listed.Lookup(name.Topic, name.Partition)
	if !ok {
		return 0, fmt.Errorf("offsets of %v: %w", name, kerr.UnknownTopicOrPartition)
	}
	return found.Offset, nil
}

func (r *resolver) list(b Bound) (listed kadm.ListedOffsets, err error) {
	if listed, ok := r.listed[b]; ok {
		return listed, nil
	}
	switch b.kind {
	case atStart:
		listed, err = r.admin.ListStartOffsets(r.ctx, r.topics...)
	case atStableEnd:
		listed, err = r.admin.ListCommittedOffsets(r.ctx, r.topics...)
	case atLogEnd:
		listed, err = r.admin.ListEndOffsets(r.ctx, r.topics...)
	case atTime:
		listed, err = r.admin.ListOffsetsAfterMilli(r.ctx, b.offset, r.topics...)
	}
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	r.listed[b] = listed
	return listed, nil
}
