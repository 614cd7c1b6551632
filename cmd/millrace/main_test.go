package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/internal/freeport"
)

// binary is the program itself, built once.
var binary string

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "MILLRACE_") || strings.HasPrefix(name, "KAFKA_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(withBinary(m.Run))
}

func withBinary(body func() int) int {
	dir, err := os.MkdirTemp("", "millrace-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("XDG_CONFIG_HOME", dir) // whoever runs the tests may use a profile
	binary = filepath.Join(dir, "millrace")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return body()
}

// patience bounds every wait of a test.
const patience = 2 * time.Minute

// result is what one command line did.
type result struct {
	stdout, stderr string
	code           int
}

// cli runs a command line in this process.
func cli(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, strings.NewReader(stdin), &stdout, &stderr)
	return result{stdout.String(), stderr.String(), code}
}

// ok runs a command line that must succeed, and returns its stdout.
func ok(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := cli(t, stdin, args...)
	if r.code != 0 {
		t.Fatalf("millrace %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// useBroker starts a broker in this process that the command lines of the test reach without -b.
func useBroker(t *testing.T) {
	t.Helper()
	useBrokerWith(t, map[string]string{})
}

// useBrokerWith is useBroker with settings, to which some are added that make it quick.
func useBrokerWith(t *testing.T, settings map[string]string) {
	t.Helper()
	settings["group.initial.rebalance.delay.ms"] = "0"
	b, err := broker.New(broker.Options{InMemory: true, Listen: "127.0.0.1:0", Config: settings})
	if err == nil {
		err = b.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
	})
	t.Setenv("MILLRACE_BROKERS", b.Addr().String())
}

// process is a running millrace.
type process struct {
	*exec.Cmd
	t              *testing.T
	input          io.WriteCloser
	stdout, stderr lockedBuffer
	exited         chan struct{}
}

type lockedBuffer struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.String()
}

// start runs the binary; it is killed at the end of the test at the latest.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := newProcess(t, args...)
	p.launch()
	return p
}

func newProcess(t *testing.T, args ...string) *process {
	p := &process{Cmd: exec.Command(binary, args...), t: t, exited: make(chan struct{})}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	return p
}

// startWithStdin is start with an input that write fills and that does not end.
func startWithStdin(t *testing.T, args ...string) *process {
	t.Helper()
	p := newProcess(t, args...)
	var err error
	if p.input, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.launch()
	return p
}

func (p *process) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.input, text); err != nil {
		p.t.Fatal(err)
	}
}

// startWithClosedStdout is start with an output that nobody reads.
func startWithClosedStdout(t *testing.T, args ...string) *process {
	t.Helper()
	p := newProcess(t, args...)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	p.Stdout = writer
	p.launch()
	return p
}

func (p *process) launch() {
	t := p.t
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.Wait()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("millrace %s\nstdout:\n%s\nstderr:\n%s", strings.Join(p.Args[1:], " "), p.stdout.String(), p.stderr.String())
		}
	})
}

// signal sends s.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
	}
	return p.ProcessState.ExitCode()
}

// serve runs a broker process that command lines reach without -b.
func serve(t *testing.T, args ...string) (p *process, address string) {
	t.Helper()
	p = start(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--http", "none", "-X", "group.initial.rebalance.delay.ms=0"}, args...)...)
	eventually(t, "the broker is ready", func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			if fields := strings.Fields(line); len(fields) == 2 && fields[0] == bannerKafka {
				address = fields[1]
			}
		}
		return address != ""
	})
	t.Setenv("MILLRACE_BROKERS", address)
	return p, address
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-ticker.C
	}
}

// closedAddress is an address of this host where nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	return freeport.Address(t)
}
