package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clicks"
)

func TestTheDemoKillsTheBrokerAndVerifies(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t, "demo", "--duration", "2s", "--rate", "5000", "--kills", "2")
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	want := regexp.MustCompile(`^verified: sent=10000 received=10000 lost=0 duplicated=0 reordered=0 redelivered=\d+ kills=2 seconds=[\d.]+\n$`)
	if got := p.stdout.String(); !want.MatchString(got) {
		t.Errorf("stdout %q", got)
	}
	if kills := strings.Count(p.stderr.String(), "kill -9"); kills != 2 {
		t.Errorf("%d kills in the progress", kills)
	}
	nothingLeft(t)
}

// nothingLeft fails if the demo's directory or its broker is still there.
func nothingLeft(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v %v", left, err)
	}
}

func demoBrokerPID(p *process) int {
	found := regexp.MustCompile(`broker \(pid (\d+)\)`).FindStringSubmatch(p.stderr.String())
	if found == nil {
		return 0
	}
	pid, _ := strconv.Atoi(found[1])
	return pid
}

// gone reports whether no process, or only the rest of one, has this id.
func gone(pid int) bool {
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || inState(pid, "Z")
}

// inState reports whether the process is in a state as Linux calls it.
func inState(pid int, state string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && strings.Contains(string(stat), ") "+state+" ")
}

func TestAnInterruptedDemoCleansUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t, "demo", "--duration", "1m")
	eventually(t, "clicks are written", func() bool { return strings.Contains(p.stderr.String(), "writing") })
	p.signal(syscall.SIGINT)
	if code := p.exit(); code != 130 || p.stdout.String() != "" {
		t.Errorf("exit code %d, stdout %q", code, p.stdout.String())
	}
	if pid := demoBrokerPID(p); pid == 0 || !gone(pid) {
		t.Errorf("the broker (pid %d) is still there", pid)
	}
	nothingLeft(t)
}

func TestTheBrokerEndsWithAKilledDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t, "demo", "--duration", "1m", "--kills", "0")
	eventually(t, "the broker runs", func() bool { return demoBrokerPID(p) != 0 })
	pid := demoBrokerPID(p)
	p.signal(syscall.SIGKILL)
	p.exit()
	eventually(t, "the broker has ended", func() bool { return gone(pid) })
}

// A broker that ends behind the demo's back is a failure, not a hang.
func TestTheDemoFailsWhenTheBrokerDies(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t, "demo", "--duration", "1m", "--kills", "1")
	eventually(t, "clicks are written", func() bool { return strings.Contains(p.stderr.String(), "writing") })
	if err := syscall.Kill(demoBrokerPID(p), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != 1 || p.stdout.String() != "" || !strings.Contains(p.stderr.String(), "the broker ended by itself") {
		t.Errorf("exit code %d, stdout %q", code, p.stdout.String())
	}
	nothingLeft(t)
}

func TestTheDemoVerifiesNothingThatIsWrong(t *testing.T) {
	stream := clicks.Stream{Seed: 1}
	for name, breakIt := range map[string]func(*clicks.Ledger) (stored int64){
		"lost": func(l *clicks.Ledger) int64 { return 3 },
		"stored twice": func(l *clicks.Ledger) int64 {
			l.Delivered(0, 2, stream.Append(nil, 2))
			l.Delivered(0, 9, stream.Append(nil, 0))
			return 3
		},
		"stored more": func(l *clicks.Ledger) int64 { l.Delivered(0, 2, stream.Append(nil, 2)); return 4 },
		"altered":     func(l *clicks.Ledger) int64 { l.Delivered(0, 2, []byte("x")); return 3 },
		"stored behind": func(l *clicks.Ledger) int64 {
			l.Delivered(1, 5, stream.Append(nil, 2))
			l.Delivered(1, 6, stream.Append(nil, 0))
			return 3
		},
	} {
		var stdout, stderr bytes.Buffer
		d := &demo{records: 3, stream: stream, ledger: clicks.NewLedger(stream, 3), stderr: &stderr, begin: time.Now()}
		for id := range int64(3) {
			d.ledger.Acknowledged(id)
			if id < 2 {
				d.ledger.Delivered(0, id, stream.Append(nil, id))
			}
		}
		stored := breakIt(d.ledger)
		if err := d.verdict(&stdout, stored); err == nil || stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%s: %v, stdout %q, stderr %q", name, err, stdout.String(), stderr.String())
		}
	}
}
