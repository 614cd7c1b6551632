package windows

import (
	"errors"
	"fmt"
	"time"
)

// Session describes windows of activity: records of one key that are at most a gap apart are in one session. It is a value:
// its methods return changed copies. A session is [start, end], the timestamps of its first and its last record.
type Session struct {
	gap           time.Duration
	gapMs, waitMs int64 // waitMs is gap + grace
	timing
}

// Sessions returns sessions that end when no record of the key comes for longer than gap, in event time. Without
// [Session.Grace], a session closes when stream time is more than gap past its end.
func Sessions(gap time.Duration) Session {
	return Session{gap: gap, gapMs: gap.Milliseconds(), waitMs: gap.Milliseconds()}
}

// Grace keeps each session open for another d of stream time, for records that come late. Default: 0.
func (s Session) Grace(d time.Duration) Session {
	s.grace = d
	s.waitMs = add(s.gapMs, d.Milliseconds())
	return s
}

// Idle is as [Time.Idle].
func (s Session) Idle(d time.Duration) Session {
	s.idle = d
	return s
}

// MaxAhead is as [Time.MaxAhead].
func (s Session) MaxAhead(d time.Duration) Session {
	s.maxAhead = d
	return s
}

// Err returns what is wrong with the description, all of it. The other methods may be used only if it is nil.
func (s Session) Err() error {
	return errors.Join(checkSpan("gap", s.gap, time.Millisecond), s.err())
}

// At returns the session of a single record.
func (s Session) At(timestampMs int64) Window {
	return Window{StartMs: timestampMs, EndMs: timestampMs}
}

// Touches says whether a record belongs to a session: it lies within, or at most the gap before or behind.
func (s Session) Touches(session Window, timestampMs int64) bool {
	return timestampMs >= subtract(session.StartMs, s.gapMs) && timestampMs <= add(session.EndMs, s.gapMs)
}

// CloseMs returns the stream time at which a session that ends at endMs closes.
func (s Session) CloseMs(endMs int64) int64 { return add(add(endMs, s.waitMs), 1) }

// Accepts says whether a session may become one that ends at endMs when stream time, the record included, is streamMs.
func (s Session) Accepts(endMs, streamMs int64) bool { return endMs >= s.ClosedBefore(streamMs) }

// ClosedBefore returns the bound below which sessions are closed at a stream time: those that end before it are, the others
// are not.
func (s Session) ClosedBefore(streamMs int64) (endMs int64) {
	return max(0, subtract(streamMs, s.waitMs))
}

// GapMs returns the gap.
func (s Session) GapMs() int64 { return s.gapMs }

// GraceMs returns the grace.
func (s Session) GraceMs() int64 { return s.grace.Milliseconds() }

// RetentionMs returns how long a session must be kept, counted from its end in stream time: gap and grace.
func (s Session) RetentionMs() int64 { return s.waitMs }

// NewClock returns the clock of an operator on these sessions, which has seen nothing.
func (s Session) NewClock() *Clock { return NewClock(s.idle, s.maxAhead) }

// String describes the sessions in the words of their constructor, as "sessions 30m0s, grace 1m0s".
func (s Session) String() string { return fmt.Sprintf("sessions %v", s.gap) + s.timing.String() }
