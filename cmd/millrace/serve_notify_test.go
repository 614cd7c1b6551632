package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager listens as a service manager does.
func manager(t *testing.T) (socket string, receive func() string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return socket, func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 100)
		n, err := conn.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		return string(buffer[:n])
	}
}

func TestTheServiceManagerIsToldWhenServeIsReadyAndWhenItStops(t *testing.T) {
	socket, receive := manager(t)
	t.Setenv("NOTIFY_SOCKET", socket)
	p, _ := serve(t, "--in-memory")
	if got := receive(); got != stateReady {
		t.Errorf("got %q, want %q", got, stateReady)
	}
	p.signal(syscall.SIGTERM)
	if got := receive(); got != stateStopping {
		t.Errorf("got %q, want %q", got, stateStopping)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestAManagerThatIsGoneIsSaid(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nobody")
	if err := notify(socket, stateReady); err == nil || !strings.Contains(err.Error(), socket) {
		t.Errorf("got %v", err)
	}
	if err := notify("", stateReady); err != nil {
		t.Errorf("without a manager: %v", err)
	}
}

func TestAHangupDoesNotEndServe(t *testing.T) {
	p, address := serve(t, "--in-memory", "--topic", "t")
	p.signal(syscall.SIGHUP)
	p.signal(syscall.SIGHUP)
	if got := ok(t, "", "topic", "list", "-b", address, "--no-headers"); got == "" {
		t.Error("no topic after SIGHUP")
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
