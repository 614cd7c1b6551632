package broker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestStopWaitsForTheWorker lets the work go on for a while after it was told to end.
func TestStopWaitsForTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		var w worker
		w.start(func(ctx context.Context) {
			<-ctx.Done()
			time.Sleep(time.Minute)
			ended = true
		})
		w.stop()
		if !ended {
			t.Error("stop returned while the work went on")
		}
	})
}

func TestStopOfAWorkerThatWasNotStartedReturns(t *testing.T) {
	var w worker
	w.stop()
}
