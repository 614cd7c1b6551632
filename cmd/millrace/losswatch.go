package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lostMax is how long a command that has an end waits for a broker that went away.
const lostMax = 30 * time.Second

// lossWatch is a client's hook that says on stderr when the broker goes away and comes back, which
// the client itself would only retry.
type lossWatch struct {
	stderr io.Writer
	giveUp bool // end the command after lostMax
	cancel context.CancelCauseFunc

	mu struct {
		sync.Mutex
		since time.Time // zero: connected
	}
}

func newLossWatch(stderr io.Writer, giveUp bool, cancel context.CancelCauseFunc) *lossWatch {
	return &lossWatch{stderr: stderr, giveUp: giveUp, cancel: cancel}
}

// OnBrokerConnect is called by the client after every attempt to connect.
func (l *lossWatch) OnBrokerConnect(broker kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	l.note(net.JoinHostPort(broker.Host, number(broker.Port)), err, time.Now())
}

func (l *lossWatch) note(address string, err error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
		// The client gave up an attempt that it no longer needed, which says nothing of the broker.
	case err == nil && !l.mu.since.IsZero():
		fmt.Fprintf(l.stderr, "millrace: connected to %s again\n", address)
		l.mu.since = time.Time{}
	case err != nil && l.mu.since.IsZero():
		l.mu.since = now
		fmt.Fprintf(l.stderr, "millrace: lost the broker at %s (%s), trying again\n", address, reason(err))
	case err != nil && l.giveUp && now.Sub(l.mu.since) > lostMax:
		l.cancel(fmt.Errorf("no broker at %s for %v: %s", address, lostMax, reason(err)))
	}
}
