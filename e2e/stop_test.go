package e2e

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/e2e/history"
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
	defer l.clientThatTakesNoAnswer().Close()
	s.signal(syscall.SIGTERM)
	eventually(t, "the broker stops accepting", func() bool { return !s.accepts() })
	select {
	case <-s.exited:
		t.Fatal("the broker did not wait for a client that it owes an answer")
	default:
	}
	s.signalUntilExit(syscall.SIGTERM)
	if code := s.command.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d", code)
	}
	s.start()
	l.finish()
	l.judge()
}

// signalUntilExit signals the broker until it has ended: soon after the first signal, another one may count as the same.
func (s *server) signalUntilExit(signal syscall.Signal) {
	s.t.Helper()
	again, late := time.NewTicker(100*time.Millisecond), time.After(patience)
	defer again.Stop()
	for {
		select {
		case <-s.exited:
			return
		case <-again.C:
			_ = s.command.Process.Signal(signal) // fails when it has just ended
		case <-late:
			s.t.Fatal("the broker did not end at the second signal")
		}
	}
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

// owedMin is more, in bytes, than the buffers between a broker and a client hold.
const owedMin = 8 << 20

// clientThatTakesNoAnswer returns a connection with an answer under way that is too large for every buffer in between.
func (l *load) clientThatTakesNoAnswer() net.Conn {
	l.t.Helper()
	// One segment, as a fetch ends with it.
	l.history.Add(history.TopicAsked{Topic: "large"})
	l.s.createTopicWith("large", 1, map[string]*string{"segment.bytes": kmsg.StringPtr("1073741824")})
	l.history.Add(history.TopicCreated{Topic: "large"})
	const recordBytes = 900_000
	if _, err := l.fill("large", 2*owedMin/recordBytes, recordBytes); err != nil {
		l.t.Fatal(err)
	}
	small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := small.Dial("tcp", l.s.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.PartitionMaxBytes = 4 * owedMin
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.Partitions = "large", []kmsg.FetchRequestTopicPartition{partition}
	request := kmsg.NewPtrFetchRequest()
	request.SetVersion(11)
	request.MaxBytes, request.Topics = 4*owedMin, []kmsg.FetchRequestTopic{topic}
	head := make([]byte, 4)
	_, err = c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 1))
	if err == nil {
		_, err = io.ReadFull(c, head)
	}
	size := (&kbin.Reader{Src: head}).Int32()
	if err != nil || size < owedMin {
		l.t.Fatalf("an answer of %d bytes, want at least %d: %v", size, owedMin, err)
	}
	return c
}
