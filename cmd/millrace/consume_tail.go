package main

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
)

// tailMax bounds --tail, whose records are held in memory.
const tailMax = 100_000

// printTail prints the last records over all partitions. It reads the last ones of each partition,
// and again from twice as far back while markers, gaps or the filter left too few.
func (p *consumePlan) printTail(ctx context.Context, c *connection, ends map[partitionKey]*partitionSpan, stderr io.Writer) error {
	for window := int64(p.tail); ; window *= 2 {
		spans, whole := tailSpans(ends, window)
		p.wanted.skipped = 0 // what is read again is counted again
		r := &reading{plan: p, cursor: newCursor(spans), left: -1, tail: newTailCollector(p.tail)}
		if err := r.read(ctx, c, stderr); err != nil && !errors.Is(err, errTimeout) {
			return err
		}
		if len(r.tail.heap) < p.tail && !whole && ctx.Err() == nil {
			continue
		}
		p.wanted.tell(stderr)
		writer := newRecordWriter(p.output, p.appender)
		for _, item := range r.tail.sorted() {
			if err := writer.write(nil, item.printable); err != nil {
				return err
			}
		}
		return writer.flush()
	}
}

// tailSpans returns the last window offsets of each partition, and whether that is all of them.
func tailSpans(all map[partitionKey]*partitionSpan, window int64) (spans map[partitionKey]*partitionSpan, whole bool) {
	spans, whole = map[partitionKey]*partitionSpan{}, true
	for key, span := range all {
		from := max(span.from, span.to-window)
		whole = whole && from == span.from
		spans[key] = &partitionSpan{from: from, next: from, to: span.to}
	}
	return spans, whole
}

// tailItem is a record with its place in the merged order. Its time never goes back within a
// partition, whatever the timestamps do, so that merging by time keeps each partition in order.
type tailItem struct {
	timeMs int64
	printable
}

func (a tailItem) compare(b tailItem) int {
	return cmp.Or(
		cmp.Compare(a.timeMs, b.timeMs),
		strings.Compare(a.record.Topic, b.record.Topic),
		cmp.Compare(a.record.Partition, b.record.Partition),
		cmp.Compare(a.record.Offset, b.record.Offset),
	)
}

// tailHeap has the earliest item on top.
type tailHeap []tailItem

func (h tailHeap) Len() int           { return len(h) }
func (h tailHeap) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h tailHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *tailHeap) Push(x any)        { *h = append(*h, x.(tailItem)) }
func (h *tailHeap) Pop() any {
	last := len(*h) - 1
	item := (*h)[last]
	(*h)[last] = tailItem{}
	*h = (*h)[:last]
	return item
}

// tailCollector keeps the latest records that it was given.
type tailCollector struct {
	limit  int
	heap   tailHeap
	latest map[partitionKey]int64
}

func newTailCollector(limit int) *tailCollector {
	return &tailCollector{limit: limit, latest: map[partitionKey]int64{}}
}

// add takes the next record of its partition.
func (c *tailCollector) add(p printable) {
	record := p.record
	key := partitionKey{record.Topic, record.Partition}
	timeMs := record.Timestamp.UnixMilli()
	if latest, ok := c.latest[key]; ok {
		timeMs = max(timeMs, latest)
	}
	c.latest[key] = timeMs
	heap.Push(&c.heap, tailItem{timeMs, p})
	if len(c.heap) > c.limit {
		heap.Pop(&c.heap)
	}
}

// sorted returns what is kept, the earliest first.
func (c *tailCollector) sorted() []tailItem {
	items := slices.Clone(c.heap)
	slices.SortFunc(items, tailItem.compare)
	return items
}
