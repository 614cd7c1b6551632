package windows

import "time"

// NoTime is the stream time of an operator that has seen no record.
const NoTime int64 = -1

// Verdict is what a clock says of a record's timestamp.
type Verdict int

const (
	// OnTime: the record is taken; stream time has moved to its timestamp if that is higher. Whether a window still takes
	// it is for the windows to say.
	OnTime Verdict = iota
	// Ahead: the timestamp is too far in the future. Stream time has not moved.
	Ahead
)

// Clock is the time of a stream at one operator of one task: the highest timestamp of the records it has seen. It reads no
// clock of its own. It is not safe for concurrent use.
type Clock struct {
	idleMs, maxAheadMs int64
	state              ClockState

	// Idling: what the two clocks showed when the last record came. lastSet is false before the first one and after a
	// restore, since the wall clock of another process says nothing about this one's silence.
	lastWallMs, lastStreamMs int64
	lastSet                  bool
}

// ClockState is what of a clock outlives its process.
type ClockState struct {
	StreamMs  int64 `json:"streamMs"`  // stream time; NoTime before the first record
	EmittedMs int64 `json:"emittedMs"` // what closes before it was passed on: starts of windows, ends of sessions
}

// NewClock returns a clock that has seen nothing. idle and maxAhead are as [Time.Idle] and [Time.MaxAhead]; 0 is off.
func NewClock(idle, maxAhead time.Duration) *Clock {
	return &Clock{idleMs: idle.Milliseconds(), maxAheadMs: maxAhead.Milliseconds(), state: ClockState{StreamMs: NoTime}}
}

// Observe takes note of a record at the wall-clock time nowMs.
func (c *Clock) Observe(timestampMs, nowMs int64) Verdict {
	if c.maxAheadMs > 0 && timestampMs > add(nowMs, c.maxAheadMs) {
		return Ahead
	}
	c.state.StreamMs = max(c.state.StreamMs, timestampMs)
	if c.idleMs > 0 {
		c.mark(nowMs)
	}
	return OnTime
}

// Idle moves stream time on if no record has come for the idle time: to where it was when the last one came, and as much
// further as the wall clock has gone since. It reports whether stream time moved. It is to be called now and then, and only
// while no input is waiting to be processed: who is behind is not idle. After a restore the silence begins with the first
// call.
func (c *Clock) Idle(nowMs int64) (advanced bool) {
	if c.idleMs <= 0 || c.state.StreamMs == NoTime {
		return false
	}
	if !c.lastSet {
		c.mark(nowMs)
	}
	silentMs := subtract(nowMs, max(0, c.lastWallMs))
	if silentMs < c.idleMs {
		return false
	}
	before := c.state.StreamMs
	c.state.StreamMs = max(before, add(c.lastStreamMs, silentMs))
	return c.state.StreamMs > before
}

func (c *Clock) mark(nowMs int64) {
	c.lastWallMs, c.lastStreamMs, c.lastSet = nowMs, c.state.StreamMs, true
}

// StreamMs returns stream time, or NoTime.
func (c *Clock) StreamMs() int64 { return c.state.StreamMs }

// EmittedMs returns the bound up to which closed windows have been passed on; 0 at first. What it counts, starts of windows
// or ends of sessions, is its user's choice.
func (c *Clock) EmittedMs() int64 { return c.state.EmittedMs }

// Emitted moves EmittedMs on to beforeMs, never back.
func (c *Clock) Emitted(beforeMs int64) { c.state.EmittedMs = max(c.state.EmittedMs, beforeMs) }

// State returns what must be kept to go on after a restart.
func (c *Clock) State() ClockState { return c.state }

// Restore makes the clock go on from a state that was kept. What it saw before is forgotten.
func (c *Clock) Restore(state ClockState) {
	c.state = ClockState{StreamMs: max(NoTime, state.StreamMs), EmittedMs: max(0, state.EmittedMs)}
	c.lastSet = false
}
