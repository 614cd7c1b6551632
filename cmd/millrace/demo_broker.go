package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Bounds of the demo's broker process.
const (
	demoStartMax = 20 * time.Second
	demoStopMax  = 20 * time.Second
	// lastWordsMax bounds what is kept of the broker's stderr.
	lastWordsMax = 20
)

// demoBroker is `millrace serve` of this very binary as a process of its own.
type demoBroker struct {
	program string
	dataDir string
	address string // fixed by the first start, so that clients find the broker again

	mu struct {
		sync.Mutex
		command *exec.Cmd
		exited  chan struct{} // closed when command has ended and was waited for
		words   []string      // the last lines of its stderr
	}
}

func newDemoBroker(dataDir string) (*demoBroker, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return &demoBroker{program: program, dataDir: dataDir, address: "127.0.0.1:0"}, nil
}

// start runs the process and returns when clients are served.
func (b *demoBroker) start(ctx context.Context) error {
	command := exec.Command(b.program, "serve", "--data-dir", b.dataDir, "--listen", b.address, "--http", noHTTP,
		"--log-level", "warn", "--exit-with-parent", "-X", "group.initial.rebalance.delay.ms=100")
	command.Env = withoutSettings(os.Environ())
	// Nobody writes to it: it ends when this process does, however that comes, and the broker with it.
	if _, err := command.StdinPipe(); err != nil {
		return err
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	exited, ready := make(chan struct{}), make(chan string, 1)
	b.mu.Lock()
	b.mu.command, b.mu.exited = command, exited
	b.mu.Unlock()
	go func() {
		defer close(exited)
		b.listenTo(stderr, ready)
		_ = command.Wait() // its exit code is in ProcessState
	}()
	timeout := time.NewTimer(demoStartMax)
	defer timeout.Stop()
	select {
	case b.address = <-ready:
		return nil
	case <-exited:
		return errors.New("the broker ended while starting: " + b.lastWords())
	case <-timeout.C:
		return fmt.Errorf("the broker was not ready after %v", demoStartMax)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listenTo keeps the last lines of the broker's stderr, and sends the address that its banner tells.
func (b *demoBroker) listenTo(stderr io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		b.mu.Lock()
		b.mu.words = append(b.mu.words, line)
		b.mu.words = b.mu.words[max(0, len(b.mu.words)-lastWordsMax):]
		b.mu.Unlock()
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == bannerKafka {
			if _, _, err := net.SplitHostPort(fields[1]); err == nil {
				select {
				case ready <- fields[1]:
				default:
				}
			}
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // after an overlong line
}

// withoutSettings drops the variables that serve would take for settings.
func withoutSettings(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "MILLRACE_") && !strings.HasPrefix(variable, "KAFKA_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (b *demoBroker) lastWords() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.mu.words, "\n")
}

func (b *demoBroker) process() (*exec.Cmd, chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.command, b.mu.exited
}

func (b *demoBroker) pid() int {
	command, _ := b.process()
	return command.Process.Pid
}

// kill ends the process as kill -9 does and waits for its end. It does nothing to one that has ended.
func (b *demoBroker) kill() {
	command, exited := b.process()
	if command == nil {
		return
	}
	_ = command.Process.Kill() // it fails only if the process has ended
	<-exited
}

// running fails if the process has ended.
func (b *demoBroker) running() error {
	_, exited := b.process()
	select {
	case <-exited:
		return errors.New("the broker ended by itself")
	default:
		return nil
	}
}

// stop asks the process to drain and end.
func (b *demoBroker) stop(ctx context.Context) error {
	if err := b.running(); err != nil {
		return err
	}
	command, exited := b.process()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	timeout := time.NewTimer(demoStopMax)
	defer timeout.Stop()
	select {
	case <-exited:
	case <-timeout.C:
		return fmt.Errorf("the broker did not end within %v of SIGTERM", demoStopMax)
	case <-ctx.Done():
		return ctx.Err()
	}
	if code := command.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the broker ended with exit code %d after SIGTERM", code)
	}
	return nil
}
