package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// repeatMin is how long after the first signal another one is somebody's second wish, and not the same one once
// more: timeout(1) and programs that start others signal a process and then its whole group.
const repeatMin = 200 * time.Millisecond

// signalError is why a context ended: the process was asked to stop.
type signalError struct{ signal syscall.Signal }

func (e *signalError) Error() string { return "stopped by " + e.signal.String() }

// exitCode is what a shell reports for a process that the signal ended: 130 or 143.
func (e *signalError) exitCode() int { return 128 + int(e.signal) }

// withSignals returns a context that ends, with a *signalError as its cause, at the first SIGINT or
// SIGTERM. The second one, repeatMin later, ends the process at once. Writing to a closed pipe becomes an error instead
// of a signal, so that `consume | head` leaves its group.
// stop has to be called; it waits for the goroutine.
func withSignals(parent context.Context) (ctx context.Context, stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(parent)
	arrived := make(chan os.Signal, 2)
	signal.Notify(arrived, syscall.SIGINT, syscall.SIGTERM)
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		for first := (time.Time{}); ; {
			select {
			case <-done:
				return
			case s := <-arrived:
				stopped := &signalError{signal: s.(syscall.Signal)}
				switch {
				case first.IsZero():
					first = time.Now()
					cancel(stopped)
				case time.Since(first) > repeatMin:
					os.Exit(stopped.exitCode())
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(arrived)
		close(done)
		<-finished
		cancel(nil)
	}
}
