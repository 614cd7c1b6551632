package stagetest

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/examples/internal/stage"
)

// patience bounds a run; nothing is asserted about how much of it was used.
const patience = 3 * time.Minute

// Verify runs an example with count records of seed 2, on a broker of its own, and returns what it said. The test fails unless
// that ends in a line that begins with "verified: " and has all of want.
func Verify(t testing.TB, e stage.Example, count int64, want ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out bytes.Buffer
	if err := stage.Run(ctx, stage.Options{Example: e, Count: count, Seed: 2, Out: &out}); err != nil {
		t.Fatalf("%v, after\n%s", err, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	verdict := lines[len(lines)-1]
	for _, part := range append(want, "verified: ") {
		if !strings.Contains(verdict, part) {
			t.Errorf("the last line is %q, without %q", verdict, part)
		}
	}
	return out.String()
}
