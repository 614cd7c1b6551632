package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// stopsUnderLoad is how often the broker is stopped in order and started again.
const stopsUnderLoad = 3

// TestStopsUnderLoadAreClean stops the broker with SIGTERM while clients work: it ends with 0, the next start has nothing
// to recover, and what the clients saw is right; idempotent producers go on as if nothing had been.
func TestStopsUnderLoadAreClean(t *testing.T) {
	s := startServer(t, loadSettings...)
	l := startLoad(t, s)
	for range stopsUnderLoad {
		l.awaitAcks(2000)
		if code := s.terminate(); code != 0 {
			t.Fatalf("exit code %d\n%s", code, s.errors.tail())
		}
		s.expectQuiet()
		if _, err := os.Stat(filepath.Join(s.dataDir, ".kafka_cleanshutdown")); err != nil {
			t.Errorf("no mark of a clean end: %v", err)
		}
		s.start()
		s.expectNothingRecovered()
	}
	l.finish()
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.start()
	l.judge()
	s.expectNothingRecovered()
	if torn, err := filepath.Glob(filepath.Join(s.dataDir, "*", "*torn*")); err != nil || len(torn) > 0 {
		t.Errorf("torn tails %v, %v", torn, err)
	}
}

// expectNothingRecovered fails if the start had anything to mend or to warn of.
func (s *server) expectNothingRecovered() {
	s.t.Helper()
	eventually(s.t, "the banner is there", func() bool { return strings.Contains(s.errors.text(), "recovered") })
	text := s.errors.text()
	if !strings.Contains(text, "nothing to repair") {
		s.t.Errorf("after a clean end:\n%s", text)
	}
	for line := range strings.Lines(text) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level != "INFO" {
			s.t.Errorf("after a clean end: %s", line)
		}
	}
}

// TestSecondSignalEndsAStopAtOnce: a client that takes no answers keeps a stop waiting; a second signal
// ends the process at once, with the code of that signal, and what was acknowledged is there.
func TestSecondSignalEndsAStopAtOnce(t *testing.T) {
	s := startServer(t, append([]string{"--shutdown-timeout", "10m"}, loadSettings...)...)
	l := startLoad(t, s)
	l.awaitAcks(500)
	stuck := s.clientThatTakesNoAnswers()
	defer stuck.Close()
	s.signal(syscall.SIGTERM)
	eventually(t, "the broker stops accepting", func() bool { return !s.accepts() })
	select {
	case <-s.exited:
		t.Fatal("the broker did not wait for a client that it owes an answer")
	default:
	}
	s.signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatal("the broker did not end at the second signal")
	}
	if code := s.command.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d", code)
	}
	s.start()
	l.finish()
	l.judge()
}

// pauseForSessions is longer than the sessions of groups, so that all members are overdue when the broker goes on.
const pauseForSessions = 3 * time.Second

// TestPausedBrokerGoesOn stops the process with SIGSTOP, as a debugger or a suspended machine does.
func TestPausedBrokerGoesOn(t *testing.T) {
	s := startServer(t, loadSettings...)
	l := startLoad(t, s)
	l.awaitAcks(2000)
	s.signal(syscall.SIGSTOP)
	<-time.After(pauseForSessions) // how long it is paused is the point of it
	s.signal(syscall.SIGCONT)
	l.awaitAcks(2000)
	l.finish()
	s.expectQuiet()
	l.judge()
}

// clientThatTakesNoAnswers returns a connection whose answers have filled every buffer on the way.
func (s *server) clientThatTakesNoAnswers() net.Conn {
	s.t.Helper()
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := small.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	request := kmsg.NewPtrMetadataRequest()
	request.SetVersion(1)
	frames := bytes.Repeat(kmsg.NewRequestFormatter().AppendRequest(nil, request, 1), 1000)
	for err == nil { // until the broker takes no more, as it cannot get rid of its answers
		_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		_, err = c.Write(frames)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		s.t.Fatal(err)
	}
	return c
}
