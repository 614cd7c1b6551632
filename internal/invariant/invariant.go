// Package invariant checks what must always hold. The checks run in builds with the tag invariants and under the race
// detector; elsewhere Enabled is false and the compiler drops them.
package invariant

import "fmt"

// Assert panics with the formatted message if cond is false and Enabled is true. The message names the invariant and
// shows both numbers. Guard an Assert whose arguments are costly to compute with if Enabled.
func Assert(cond bool, format string, args ...any) {
	if Enabled && !cond {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}
