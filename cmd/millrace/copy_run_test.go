package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A destination that takes nothing more does not hold up the end for ever.
func TestDeliveryOutlastsASignalForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, signal := context.WithCancel(t.Context())
		delivery, giveUp := outlast(ctx, copyDrainMax)
		defer giveUp()
		signal()
		began := time.Now()
		synctest.Wait()
		if delivery.Err() != nil {
			t.Error("it ends with the signal")
		}
		<-delivery.Done()
		if took := time.Since(began); took != copyDrainMax {
			t.Errorf("it ends after %v", took)
		}
	})
}
