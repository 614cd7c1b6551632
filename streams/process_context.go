package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/streams/internal/engine"
)

// Context is what a Processor reaches. K and V are what it forwards. It belongs to the task's goroutine, within the calls that have
// it as an argument.
type Context[K, V any] struct {
	site   *engine.Site
	node   *engine.Node
	stores []string
	next   receive[K, V]
	meta   *engine.Meta // of the record in hand
	ends   error        // an error for the task, not for the processor's policy: of what comes behind, or a mistake
}

// Forward passes a record on. The error is of what comes behind; the processor returns it.
func (c *Context[K, V]) Forward(record Record[K, V]) error {
	m, kept := c.meta, *c.meta
	if !record.Timestamp.IsZero() {
		m.TimestampMs = record.Timestamp.UnixMilli()
	}
	m.Headers, m.NoKey, m.NoValue = record.Headers, record.NoKey, record.NoValue
	c.node.Emitted++
	err := c.next(record.Key, record.Value, m)
	*m = kept
	m.At = c.node
	if err != nil {
		c.ends = err
	}
	c.site.SetTime(m.TimestampMs)
	return err
}

// TimeKind is which time a timer goes by.
type TimeKind int

const (
	// StreamTime goes by the timestamps of the task's input: the timer fires after the record that brings stream time to a multiple of
	// its interval, counted from 1970, or over it; once if it is over several. The same input gives the same calls, also over
	// restarts.
	StreamTime TimeKind = iota
	// WallClock goes by the wall clock: the timer fires at the first look at the clock that is an interval or more after the last time.
	WallClock
)

// Schedule has f called again and again, by the task's goroutine, with the time that it is. Timers end with the task: Init sets
// them. every is whole milliseconds, at least one; another interval ends Run with an error. What f returns as an error ends Run.
func (c *Context[K, V]) Schedule(kind TimeKind, every time.Duration, f func(ctx *Context[K, V], now time.Time) error) (cancel func()) {
	if every < time.Millisecond || every%time.Millisecond != 0 || f == nil {
		c.fail(scheduleMistake(every, f == nil))
		return func() {}
	}
	everyMs := every.Milliseconds()
	m := &engine.Meta{}
	fire := func(nowMs int64) error {
		*m = engine.Meta{TimestampMs: nowMs, At: c.node, Maker: c.node}
		c.meta, c.ends = m, nil
		c.site.SetTime(nowMs)
		c.site.Wait(c.node, m)
		if err := f(c, time.UnixMilli(nowMs)); err != nil {
			c.fail(err)
		}
		return c.ends
	}
	if kind == WallClock {
		return c.site.OnWallClock(c.node, everyMs, fire)
	}
	return c.site.OnStreamTime(c.node, everyMs, fire)
}

func scheduleMistake(every time.Duration, noFunction bool) error {
	if noFunction {
		return fmt.Errorf("a timer every %v without a function", every)
	}
	return fmt.Errorf("a timer every %v: the interval is whole milliseconds, at least 1ms", every)
}

// fail notes what ends the task, whatever the processor returns.
func (c *Context[K, V]) fail(cause error) {
	if c.ends == nil {
		c.ends = c.site.Reject(c.node, engine.Policy{}, engine.Failed, cause, c.meta, nil)
	}
}

// StreamTime returns the highest timestamp of the task's input so far, the zero time before the first record.
func (c *Context[K, V]) StreamTime() time.Time {
	if c.site.StreamMs() < 0 {
		return time.Time{}
	}
	return time.UnixMilli(c.site.StreamMs())
}

// Now returns the wall clock as of the present batch of records. Results that depend on it are others when a record is processed
// again.
func (c *Context[K, V]) Now() time.Time { return time.UnixMilli(c.site.NowMs()) }

// Partition returns the partition of the task.
func (c *Context[K, V]) Partition() int32 { return c.site.Partition() }

// Context ends when the task may work no longer; what was begun is then done again. It is for calls that wait.
func (c *Context[K, V]) Context() context.Context { return c.site.Context() }

// Source says which input record it is that is being processed: its topic as it is called in Kafka, partition and offset. ok is
// false in a timer.
func (c *Context[K, V]) Source() (topic string, partition int32, offset int64, ok bool) {
	if c.meta.Source == nil {
		return "", 0, 0, false
	}
	return c.meta.Source.Topic, c.meta.Source.Partition, c.meta.Source.Offset, true
}
