package windows

import (
	"errors"
	"fmt"
	"time"
)

// timing is what all kinds of windows can be told about time.
type timing struct {
	grace    time.Duration
	idle     time.Duration
	maxAhead time.Duration
}

// IdleAfter returns the silence after which stream time goes on with the wall clock; 0: it does not.
func (t timing) IdleAfter() time.Duration { return t.idle }

// AheadAtMost returns how far a timestamp may be ahead of the wall clock; 0: any far.
func (t timing) AheadAtMost() time.Duration { return t.maxAhead }

// err returns what is wrong with the settings, joined.
func (t timing) err() error {
	return errors.Join(
		checkSpan("grace", t.grace, 0),
		checkSpan("idle", t.idle, 0),
		checkSpan("max ahead", t.maxAhead, 0),
	)
}

// checkSpan refuses a duration below least, and one that milliseconds cannot say.
func checkSpan(name string, d, least time.Duration) error {
	switch {
	case d < least:
		return fmt.Errorf("windows: %s %v: must be at least %v", name, d, least)
	case d%time.Millisecond != 0:
		return fmt.Errorf("windows: %s %v: must be whole milliseconds, as timestamps are", name, d)
	}
	return nil
}

// String lists what is set, each behind a comma.
func (t timing) String() string {
	text := ""
	if t.grace != 0 {
		text += fmt.Sprintf(", grace %v", t.grace)
	}
	if t.idle != 0 {
		text += fmt.Sprintf(", idle %v", t.idle)
	}
	if t.maxAhead != 0 {
		text += fmt.Sprintf(", max ahead %v", t.maxAhead)
	}
	return text
}
