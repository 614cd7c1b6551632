package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// How often the broker is killed, and how many records are acknowledged in between: a smoke test, and with MILLRACE_LONG
// minutes of it.
const (
	killsOfASmoke   = 8
	killsOfALongRun = 60
	acksPerKillMax  = 10000
	// startsCutMax is how far into its start a broker may come that is killed before it is ready.
	startsCutMax = 150 * time.Millisecond
)

func long() bool { return os.Getenv("MILLRACE_LONG") != "" }

// TestKillsUnderLoadBreakNoPromise kills the broker with -9 at random moments, some of them in its start, while clients
// produce with every codec, consume in groups, commit, and create and delete topics; and checks all that they saw.
func TestKillsUnderLoadBreakNoPromise(t *testing.T) {
	for _, write := range []string{"buffered", "direct"} {
		t.Run(write, func(t *testing.T) { killsUnderLoad(t, "millrace.write="+write) })
	}
}

func killsUnderLoad(t *testing.T, setting string) {
	s := startServer(t, append([]string{"-X", setting}, loadSettings...)...)
	l := startLoad(t, s)
	kills := killsOfASmoke
	if long() {
		kills = killsOfALongRun
	}
	for i := range kills {
		l.awaitAcks(1 + rand.Int64N(acksPerKillMax))
		s.kill()
		s.expectQuiet()
		if i%3 == 1 {
			s.launch()
			select {
			case <-time.After(rand.N(startsCutMax)): // the moment is the point of it
				s.kill()
			case <-s.exited:
				t.Fatalf("the broker ended while starting:\n%s", s.errors.tail())
			}
		}
		s.start()
		l.lookAtOnce()
	}
	l.finish()
	s.kill() // what the clients were told last must be there as well
	s.start()
	l.judge()
	if code := s.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s.verifyLogs()
}

// awaitAcks returns when so many more records are acknowledged.
func (l *load) awaitAcks(count int64) {
	l.t.Helper()
	for want := l.acked.Load() + count; l.acked.Load() < want; { // for as long as some are
		last := l.acked.Load()
		eventually(l.t, "records are acknowledged", func() bool { return l.acked.Load() > last })
	}
}

// lookAtOnce looks before the members that go on have covered what a restart has forgotten.
func (l *load) lookAtOnce() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l.look(ctx, kadm.NewClient(l.s.client()))
}

// expectQuiet fails if the process complained of anything but a tail that a kill has torn.
func (s *server) expectQuiet() {
	s.t.Helper()
	for line := range strings.Lines(s.errors.text()) {
		if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "panic") || strings.Contains(line, "set aside") {
			s.t.Errorf("the broker said: %s", line)
		}
	}
}

// verifyLogs lets `millrace log verify` read every partition directory.
func (s *server) verifyLogs() {
	s.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(s.dataDir, "*-*"))
	if err != nil || len(dirs) == 0 {
		s.t.Fatalf("partition directories: %v %v", dirs, err)
	}
	if out, err := exec.Command(binary, append([]string{"log", "verify"}, dirs...)...).CombinedOutput(); err != nil {
		s.t.Errorf("log verify: %v\n%s", err, out)
	}
}
