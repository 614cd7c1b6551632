package main

import (
	"testing"
	"time"
)

func TestAStallIsNoProgressWhileSomethingWaits(t *testing.T) {
	start := time.Unix(0, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	w := stallWatch{limit: 10 * time.Second, moved: start}
	for _, step := range []struct {
		second  int
		count   int64
		waiting bool
		want    bool
	}{
		{5, 0, true, false}, {10, 0, true, false}, {11, 0, true, true}, // nothing ever moved
		{12, 1, true, false}, {22, 1, true, false}, {23, 1, true, true}, // it moved once
		{24, 1, false, false}, {60, 1, false, false}, // nothing waits
		{61, 1, true, false}, {71, 1, true, true},
	} {
		if got := w.stalled(step.count, step.waiting, at(step.second)); got != step.want {
			t.Errorf("after %ds with %d: %v, want %v", step.second, step.count, got, step.want)
		}
	}
}
