package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestBudgetServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		if taken, ok := b.tryAcquire(90); !ok || taken != 90 {
			t.Fatalf("took %d, %v", taken, ok)
		}
		var order []string
		wait := func(name string, bytes int64) {
			go func() {
				if _, err := b.acquire(t.Context(), bytes); err != nil {
					t.Error(err)
				}
				order = append(order, name)
			}()
			synctest.Wait()
		}
		wait("large", 50)
		wait("small", 5)
		if _, ok := b.tryAcquire(5); ok {
			t.Error("the room that a large request waits for went to a later one")
		}
		if len(order) != 0 {
			t.Fatalf("%v got what was not there", order)
		}
		b.release(40)
		synctest.Wait()
		b.release(50)
		synctest.Wait()
		if len(order) != 2 || order[0] != "large" {
			t.Errorf("order %v", order)
		}
		b.release(55)
		if used := b.used(); used != 0 {
			t.Errorf("%d bytes are still taken", used)
		}
	})
}

func TestBudgetTakesNoMoreThanThereIs(t *testing.T) {
	b := newBudget(100)
	if taken, ok := b.tryAcquire(1000); !ok || taken != 100 {
		t.Errorf("took %d, %v", taken, ok)
	}
	if _, ok := b.tryAcquire(1); ok {
		t.Error("took a byte that is not there")
	}
}

func TestBudgetWaiterThatLeavesLetsOthersPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		b.tryAcquire(60)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := b.acquire(ctx, 80)
			left <- err
		}()
		synctest.Wait()
		served := make(chan int64, 1)
		go func() {
			taken, _ := b.acquire(t.Context(), 40)
			served <- taken
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the waiter that left got %v", err)
		}
		if taken := <-served; taken != 40 {
			t.Errorf("the one behind it took %d", taken)
		}
		if used := b.used(); used != 100 {
			t.Errorf("%d bytes are taken, want 100", used)
		}
	})
}
