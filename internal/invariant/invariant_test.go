package invariant

import (
	"strings"
	"testing"
)

func TestAssertPanicsWithTheNumbersWhenEnabled(t *testing.T) {
	defer func() {
		message, _ := recover().(string)
		if Enabled && !strings.Contains(message, "durable 7 > end 5") {
			t.Errorf("panic %q does not show the numbers", message)
		}
		if !Enabled && message != "" {
			t.Errorf("disabled assertion panicked: %q", message)
		}
	}()
	Assert(true, "never shown")
	Assert(false, "durable %d > end %d", 7, 5)
}

func TestDisabledAssertCostsNothing(t *testing.T) {
	if Enabled {
		t.Skip("assertions are enabled in this build")
	}
	durable, end := int64(1)<<40, int64(1)<<41
	allocations := testing.AllocsPerRun(100, func() {
		if Enabled {
			Assert(durable <= end, "durable %d > end %d", durable, end)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
