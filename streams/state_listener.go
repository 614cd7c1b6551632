package streams

import (
	"fmt"

	"github.com/millrace/millrace/streams/internal/engine"
)

// State is what an App is doing.
type State int

const (
	Created     = State(engine.PhaseCreated)     // Run was not called yet
	Starting    = State(engine.PhaseStarting)    // it looks for its topics, and joins the group
	Restoring   = State(engine.PhaseRestoring)   // some of its tasks are being opened or restored; the others process
	Running     = State(engine.PhaseRunning)     // all of its tasks process, if it has any
	Unreachable = State(engine.PhaseUnreachable) // no broker can be reached; it keeps trying, and goes on where it was
	Stopping    = State(engine.PhaseStopping)    // it finishes the records in hand, and commits
	Stopped     = State(engine.PhaseStopped)     // Run has returned nil
	Failed      = State(engine.PhaseFailed)      // Run has returned an error
)

var stateNames = [...]string{"created", "starting", "restoring", "running", "unreachable", "stopping", "stopped", "failed"}

// States returns all states.
func States() []State {
	states := make([]State, len(stateNames))
	for i := range states {
		states[i] = State(i)
	}
	return states
}

// String returns the state as one word.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("state %d", int(s))
	}
	return stateNames[s]
}
