package windows

import (
	"errors"
	"fmt"
	"time"
)

// hopsMax bounds how many hopping windows a timestamp may be in: each record updates all of them.
const hopsMax = 10_000

// Time describes windows of one size that begin at multiples of a step: tumbling and hopping windows. It is a value: its
// methods return changed copies. A window is [start, end).
type Time struct {
	size, every             time.Duration
	sizeMs, everyMs, waitMs int64 // waitMs is size + grace
	timing
}

// Tumbling returns windows of the given size, each beginning where the one before ends, the first at 1970 in UTC. Every
// timestamp is in one of them. Without [Time.Grace], a window closes when stream time reaches its end.
func Tumbling(size time.Duration) Time { return Hopping(size, size) }

// Hopping returns windows of the given size that begin at every multiple of every. They overlap where every is smaller than
// size: a timestamp is in size/every of them, rounded up or down, and in fewer shortly after 1970.
func Hopping(size, every time.Duration) Time {
	return Time{size: size, every: every, sizeMs: size.Milliseconds(), everyMs: every.Milliseconds(), waitMs: size.Milliseconds()}
}

// Grace keeps each window open until stream time is d past its end, for records that come late. Default: 0.
func (t Time) Grace(d time.Duration) Time {
	t.grace = d
	t.waitMs = add(t.sizeMs, d.Milliseconds())
	return t
}

// Idle lets stream time go on with the wall clock when no record has come for d, so that windows close although the input is
// silent. 0, the default: stream time stands still then.
func (t Time) Idle(d time.Duration) Time {
	t.idle = d
	return t
}

// MaxAhead keeps records out whose timestamp is more than d ahead of the wall clock: they go where late records go, and
// stream time does not follow them. 0, the default: any timestamp is believed.
func (t Time) MaxAhead(d time.Duration) Time {
	t.maxAhead = d
	return t
}

// Err returns what is wrong with the description, all of it: sizes below a millisecond or not of whole milliseconds, a step
// larger than the size or so small that a record would be in more than 10,000 windows. The other methods may be used only
// if it is nil.
func (t Time) Err() error {
	problem := errors.Join(checkSpan("size", t.size, time.Millisecond), checkSpan("every", t.every, time.Millisecond), t.err())
	switch {
	case problem != nil:
		return problem
	case t.every > t.size:
		return fmt.Errorf("windows: every %v: must not be larger than the size %v, or records between windows would be lost", t.every, t.size)
	case t.size/t.every > hopsMax:
		return fmt.Errorf("windows: every %v: a record would be in %d windows of %v, at most %d are allowed", t.every, t.size/t.every, t.size, hopsMax)
	}
	return nil
}

// Starts returns the starts of the windows that a timestamp is in: first, first+stepMs, ... count of them, oldest first.
// A negative timestamp is in none.
func (t Time) Starts(timestampMs int64) (firstMs int64, count int, stepMs int64) {
	if timestampMs < 0 {
		return 0, 0, t.everyMs
	}
	last := timestampMs - timestampMs%t.everyMs
	earlier := min((t.sizeMs-1-(timestampMs-last))/t.everyMs, last/t.everyMs) // none begins before 1970
	count = int(earlier) + 1
	return last - int64(count-1)*t.everyMs, count, t.everyMs
}

// Window returns the window that begins at startMs.
func (t Time) Window(startMs int64) Window {
	return Window{StartMs: startMs, EndMs: add(startMs, t.sizeMs)}
}

// CloseMs returns the stream time at which the window that begins at startMs closes: its end and the grace.
func (t Time) CloseMs(startMs int64) int64 { return add(startMs, t.waitMs) }

// Accepts says whether the window that begins at startMs takes a record when stream time, the record included, is streamMs.
func (t Time) Accepts(startMs, streamMs int64) bool { return startMs >= t.ClosedBefore(streamMs) }

// ClosedBefore returns the bound below which windows are closed at a stream time: those that begin before it are, the others
// are not.
func (t Time) ClosedBefore(streamMs int64) (startMs int64) {
	return max(0, add(subtract(streamMs, t.waitMs), 1))
}

// SizeMs returns the size of a window.
func (t Time) SizeMs() int64 { return t.sizeMs }

// EveryMs returns the distance between the starts of two windows; for tumbling ones it is the size.
func (t Time) EveryMs() int64 { return t.everyMs }

// GraceMs returns the grace.
func (t Time) GraceMs() int64 { return t.grace.Milliseconds() }

// RetentionMs returns how long a window must be kept, counted from its start in stream time: size and grace.
func (t Time) RetentionMs() int64 { return t.waitMs }

// NewClock returns the clock of an operator on these windows, which has seen nothing.
func (t Time) NewClock() *Clock { return NewClock(t.idle, t.maxAhead) }

// String describes the windows in the words of their constructors, as "hopping 5m0s every 1m0s, grace 10s".
func (t Time) String() string {
	text := fmt.Sprintf("hopping %v every %v", t.size, t.every)
	if t.size == t.every {
		text = fmt.Sprintf("tumbling %v", t.size)
	}
	return text + t.timing.String()
}
