package main

import (
	"fmt"
	"net"
	"strings"
)

// States that a service manager is told of (sd_notify(3), Type=notify).
const (
	stateReady    = "READY=1"
	stateStopping = "STOPPING=1"
)

// notify tells the service manager that listens on socket, from $NOTIFY_SOCKET, what state this process is in. An empty
// socket is no manager. There is no watchdog: a broker whose disk is slow is not helped by a restart.
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	if name, abstract := strings.CutPrefix(socket, "@"); abstract {
		socket = "\x00" + name
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager of %s: %w", state, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify the service manager of %s: %w", state, err)
	}
	return nil
}
