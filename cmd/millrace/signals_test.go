package main

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestInterruptedConsumeLeavesItsGroupAndSucceeds(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	ok(t, "1\n2\n", "produce", "t")
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		group := "g-" + s.String()
		p := start(t, "consume", "t", "-g", group)
		eventually(t, "records are printed", func() bool { return p.stdout.String() == "1\n2\n" })
		p.signal(s)
		if code := p.exit(); code != 0 || p.stderr.String() != "" {
			t.Errorf("exit code %d after %v, stderr %q", code, s, p.stderr.String())
		}
		got := ok(t, "", "group", "describe", group)
		if !strings.Contains(got, "state Empty") || !strings.Contains(got, "lag 0") {
			t.Errorf("the group right after %v:\n%s", s, got)
		}
	}
}

// timeout(1) signals a process and then its group: the process gets one wish twice.
func TestOneInterruptThatComesTwiceIsOne(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	ok(t, "1\n", "produce", "t")
	p := start(t, "consume", "t", "-g", "g")
	eventually(t, "records are printed", func() bool { return p.stdout.String() == "1\n" })
	p.signal(syscall.SIGTERM)
	_ = p.Process.Signal(syscall.SIGINT) // another one, since two of a kind may arrive as one
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d, stderr %q", code, p.stderr.String())
	}
	if got := ok(t, "", "group", "describe", "g"); !strings.Contains(got, "state Empty") {
		t.Errorf("the group afterwards:\n%s", got)
	}
}

// With a broker that has stopped answering, leaving the group takes its time: the second Ctrl-C
// does not wait for it.
func TestTheSecondInterruptEndsConsumeAtOnce(t *testing.T) {
	server, _ := serve(t, "--in-memory")
	ok(t, "1\n", "produce", "t")
	p := start(t, "consume", "t", "-g", "g")
	eventually(t, "records are printed", func() bool { return p.stdout.String() == "1\n" })
	server.signal(syscall.SIGSTOP)
	eventually(t, "the broker is stopped", func() bool { return inState(server.Process.Pid, "T") })
	begin := time.Now()
	code := repeatedly(p, syscall.SIGINT)
	if code != 130 || time.Since(begin) > leaveMax-time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(begin))
	}
}

func TestInterruptedProduceSendsWhatItHasRead(t *testing.T) {
	_, _ = serve(t, "--in-memory", "--topic", "t")
	p := startWithStdin(t, "produce", "t")
	p.write("1\n2\n")
	eventually(t, "the lines are sent", func() bool { return ok(t, "", "consume", "t", "-e") == "1\n2\n" })
	p.write("3\nunfinished")
	p.signal(syscall.SIGINT)
	if code := p.exit(); code != 130 {
		t.Errorf("exit code %d, stderr %q", code, p.stderr.String())
	}
	if got := p.stdout.String(); got != "" {
		t.Errorf("stdout %q", got)
	}
}

func TestAReaderThatLeavesEndsConsume(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	ok(t, strings.Repeat("line\n", 1000), "produce", "t")
	p := startWithClosedStdout(t, "consume", "t", "-g", "g")
	if code := p.exit(); code != 0 || p.stderr.String() != "" {
		t.Errorf("exit code %d, stderr %q", code, p.stderr.String())
	}
	if got := ok(t, "", "group", "describe", "g"); !strings.Contains(got, "state Empty") {
		t.Errorf("the group afterwards:\n%s", got)
	}
	if got := ok(t, "", "consume", "t", "-g", "g", "-e"); strings.Count(got, "\n") != 1000 {
		t.Errorf("%d of 1000 lines are left for the next member", strings.Count(got, "\n"))
	}
}
