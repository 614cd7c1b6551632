package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// demoStartMax is how long the broker may take to start.
const demoStartMax = 20 * time.Second

// demoBroker is `millrace serve`.
type demoBroker struct {
	*demoProcess
	dataDir string
	address string      // fixed by the first start, so that clients find the broker again
	ready   chan string // gets the address when clients are served
}

func newDemoBroker(dataDir string) (*demoBroker, error) {
	process, err := newDemoProcess("broker")
	if err != nil {
		return nil, err
	}
	b := &demoBroker{demoProcess: process, dataDir: dataDir, address: "127.0.0.1:0", ready: make(chan string, 1)}
	b.heard = b.readBanner
	return b, nil
}

// start runs the process and returns when clients are served.
func (b *demoBroker) start(ctx context.Context) error {
	b.arguments = []string{"serve", "--data-dir", b.dataDir, "--listen", b.address, "--http", noHTTP,
		"--log-level", "warn", "--exit-with-parent", "-X", "group.initial.rebalance.delay.ms=0"}
	if err := b.demoProcess.start(); err != nil {
		return err
	}
	_, exited := b.process()
	timeout := time.NewTimer(demoStartMax)
	defer timeout.Stop()
	select {
	case b.address = <-b.ready:
		return nil
	case <-exited:
		return fmt.Errorf("the broker %w while starting: %s", errEnded, b.lastWords())
	case <-timeout.C:
		return fmt.Errorf("the broker was not ready after %v", demoStartMax)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readBanner sends the address that the broker's banner tells.
func (b *demoBroker) readBanner(line string) {
	fields := strings.Fields(line)
	if len(fields) != 2 || fields[0] != bannerKafka {
		return
	}
	if _, _, err := net.SplitHostPort(fields[1]); err == nil {
		select {
		case b.ready <- fields[1]:
		default:
		}
	}
}
