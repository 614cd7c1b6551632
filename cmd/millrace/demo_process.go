package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// demoStopMax is how long a process may take to end that was asked to.
	demoStopMax = 20 * time.Second
	// lastWordsMax bounds what is kept of a process's stderr.
	lastWordsMax = 20
)

// demoProcess is a command of this very binary as a process of its own, which can be started again.
type demoProcess struct {
	name      string // in what the demo says
	program   string
	arguments []string
	heard     func(line string) // gets each line of its stderr; nil: nobody does

	mu struct {
		sync.Mutex
		command *exec.Cmd
		exited  chan struct{} // closed when command has ended and was waited for
		words   []string      // the last lines of its stderr
	}
}

func newDemoProcess(name string, arguments ...string) (*demoProcess, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return &demoProcess{name: name, program: program, arguments: arguments}, nil
}

// start runs the process and returns at once.
func (p *demoProcess) start() error {
	command := exec.Command(p.program, p.arguments...)
	command.Env = withoutSettings(os.Environ())
	// Nobody writes to it: it ends when this process does, however that comes, and then the other one does too.
	if _, err := command.StdinPipe(); err != nil {
		return err
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the %s: %w", p.name, err)
	}
	exited := make(chan struct{})
	p.mu.Lock()
	p.mu.command, p.mu.exited = command, exited
	p.mu.Unlock()
	go func() {
		defer close(exited)
		p.listenTo(stderr)
		_ = command.Wait() // its exit code is in ProcessState
	}()
	return nil
}

// listenTo keeps the last lines of the process's stderr.
func (p *demoProcess) listenTo(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		p.mu.words = append(p.mu.words, line)
		p.mu.words = p.mu.words[max(0, len(p.mu.words)-lastWordsMax):]
		p.mu.Unlock()
		if p.heard != nil {
			p.heard(line)
		}
	}
	_, _ = io.Copy(io.Discard, stderr) // after an overlong line
}

// withoutSettings drops the variables that the command would take for settings.
func withoutSettings(environ []string) []string {
	var kept []string
	for _, variable := range environ {
		if !strings.HasPrefix(variable, "MILLRACE_") && !strings.HasPrefix(variable, "KAFKA_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (p *demoProcess) lastWords() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.mu.words, "\n")
}

func (p *demoProcess) process() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.command, p.mu.exited
}

func (p *demoProcess) pid() int {
	command, _ := p.process()
	return command.Process.Pid
}

// kill ends the process as kill -9 does and waits for its end. It does nothing to one that has ended.
func (p *demoProcess) kill() {
	command, exited := p.process()
	if command == nil {
		return
	}
	_ = command.Process.Kill() // it fails only if the process has ended
	<-exited
}

// running fails if the process has ended.
func (p *demoProcess) running() error {
	if p.endsWithin(0) {
		return fmt.Errorf("the %s %w", p.name, errEnded)
	}
	return nil
}

var errEnded = errors.New("ended by itself")

// endsWithin waits for the end of the process, and says whether it came in time.
func (p *demoProcess) endsWithin(timeout time.Duration) bool {
	_, exited := p.process()
	select {
	case <-exited:
		return true
	default:
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-exited:
		return true
	case <-timer.C:
		return false
	}
}

// stop asks the process to finish what it does and to end.
func (p *demoProcess) stop(ctx context.Context) error {
	if err := p.running(); err != nil {
		return err
	}
	command, exited := p.process()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the %s: %w", p.name, err)
	}
	timeout := time.NewTimer(demoStopMax)
	defer timeout.Stop()
	select {
	case <-exited:
	case <-timeout.C:
		return fmt.Errorf("the %s did not end within %v of SIGTERM", p.name, demoStopMax)
	case <-ctx.Done():
		return ctx.Err()
	}
	if code := command.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the %s ended with exit code %d after SIGTERM", p.name, code)
	}
	return nil
}

// endWithParent calls stop at the end of stdin, which comes with the end of the demo.
func endWithParent(stdin io.Reader, stop func()) {
	_, _ = io.Copy(io.Discard, stdin)
	stop()
}
