package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// failCalls makes these system calls of the process fail with EIO until the returned function is called.
// The test is skipped where strace is absent or may not do that.
func (s *server) failCalls(calls string) (stop func()) {
	s.t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		s.skipUnlessCI(fmt.Sprintf("strace is not here: %v", err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	said := &lockedBuffer{}
	tracer := exec.CommandContext(ctx, path, "--follow-forks", fmt.Sprint("--attach=", s.command.Process.Pid),
		"--trace="+calls, "--inject="+calls+":error=EIO", "--output=/dev/null")
	tracer.Stderr = said
	if err := tracer.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- tracer.Wait() }()
	eventually(s.t, "strace is attached", func() bool {
		select {
		case err := <-ended:
			cancel()
			s.skipUnlessCI(fmt.Sprintf("strace may not attach: %v: %s", err, strings.TrimSpace(said.text())))
		default:
		}
		return strings.Contains(said.text(), "attached")
	})
	return func() {
		s.t.Helper()
		_ = tracer.Process.Signal(syscall.SIGINT)
		<-ended
		cancel()
	}
}

// skipUnlessCI ends a test that cannot run here.
func (s *server) skipUnlessCI(why string) {
	s.t.Helper()
	if os.Getenv("CI") != "" && os.Geteuid() == 0 {
		s.t.Fatalf("must run in CI: %s", why)
	}
	s.t.Skipf("skipped: %s", why)
}

// TestFaultOfFsyncStopsAcknowledging: a partition whose sync failed acknowledges nothing more, not even when the next sync
// would succeed; what it acknowledged is read; other partitions go on; a restart recovers.
func TestFaultOfFsyncStopsAcknowledging(t *testing.T) {
	t.Run("buffered", func(t *testing.T) { failSync(t, "millrace.write=buffered", "fdatasync,fsync") })
	// Direct writes are durable by themselves: it is the write that fails.
	t.Run("direct", func(t *testing.T) { failSync(t, "millrace.write=direct", "fdatasync,fsync,pwrite64,pwritev,pwritev2") })
}

func failSync(t *testing.T, setting, calls string) {
	s := startServer(t, "-X", setting)
	l := &load{t: t, s: s}
	for _, topic := range []string{"t", "other"} {
		s.createTopic(topic, 1)
		if _, err := l.fill(topic, 10, filling); err != nil {
			t.Fatal(err)
		}
	}
	heal := s.failCalls(calls)
	if n, err := l.fill("t", 1, filling); n != 0 || !errors.Is(err, kerr.KafkaStorageError) || !kerr.IsRetriable(err) {
		t.Errorf("%d acknowledged, then %v", n, err)
	}
	heal()
	if n, err := l.fill("t", 1, filling); n != 0 || !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("after the fault %d acknowledged, then %v", n, err)
	}
	if got := len(s.readAll("t")); got != 10 {
		t.Errorf("%d of 10 records can be read", got)
	}
	if n, err := l.fill("other", 10, filling); n != 10 || err != nil {
		t.Errorf("another partition: %d acknowledged, then %v", n, err)
	}
	if !strings.Contains(s.errors.text(), "acknowledges nothing more") {
		t.Error("the log does not tell")
	}
	s.kill()
	s.start()
	if n, err := l.fill("t", 10, filling); n != 10 || err != nil {
		t.Errorf("after the restart %d acknowledged, then %v", n, err)
	}
	for _, topic := range []string{"t", "other"} {
		l.expectStored(topic)
	}
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.verifyLogs()
}

// TestFaultOfFsyncUnderLoadLosesNothing lets the syncs of all partitions fail in the middle of work.
func TestFaultOfFsyncUnderLoadLosesNothing(t *testing.T) {
	s := startServer(t, loadSettings...)
	l := startLoad(t, s)
	l.awaitAcks(1000)
	heal := s.failCalls("fdatasync,fsync")
	eventually(t, "a partition has failed", func() bool { return strings.Contains(s.errors.text(), "acknowledges nothing more") })
	<-time.After(faultSpan) // clients see the errors and try again
	heal()
	s.kill()
	s.start()
	l.awaitAcks(1000)
	l.finish()
	l.judge()
}

// faultSpan is how long the syncs of a broker under load fail.
const faultSpan = 300 * time.Millisecond
