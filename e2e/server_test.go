package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/freeport"
)

// patience bounds every wait of these tests; nothing is asserted about how much of it was used.
const patience = 90 * time.Second

var binary string // the millrace binary, built once

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "millrace-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "millrace")
		build := exec.Command("go", "build", "-o", binary, "../cmd/millrace")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if code == 0 {
			if err := writeResults(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return code
	}())
}

// server is a running millrace process.
type server struct {
	t       *testing.T
	addr    string
	http    string
	dataDir string
	extra   []string
	within  []string // a program with arguments that runs the binary; empty: none
	command *exec.Cmd
	errors  *lockedBuffer
	exited  chan error
}

// startServer runs `millrace serve` on a free port of the loopback and returns when it is ready.
func startServer(t *testing.T, extra ...string) *server {
	t.Helper()
	s := newServer(t, extra...)
	s.start()
	return s
}

// newServer returns a process that does not run yet. It is killed at the end of the test.
func newServer(t *testing.T, extra ...string) *server {
	t.Helper()
	s := &server{t: t, addr: freeport.Address(t), http: freeport.Address(t), dataDir: t.TempDir(), extra: extra}
	t.Cleanup(func() {
		if s.command != nil && s.command.ProcessState == nil {
			_ = s.command.Process.Kill()
			<-s.exited
		}
		if t.Failed() {
			t.Logf("the broker's standard error:\n%s", s.errors.tail())
		}
	})
	return s
}

// start runs the process and returns when it is ready.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	exited := s.exited
	eventually(s.t, "the broker accepts connections", func() bool {
		select {
		case err := <-exited:
			exited <- err
			s.t.Fatalf("the broker ended while starting: %v\n%s", err, s.errors.tail())
		default:
		}
		return s.accepts()
	})
}

// accepts says whether the broker accepts a connection.
func (s *server) accepts() bool {
	c, err := net.Dial("tcp", s.addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func (s *server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.command.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// launch runs the process and returns at once.
func (s *server) launch() {
	s.t.Helper()
	s.errors = &lockedBuffer{}
	words := append(slices.Clone(s.within), binary, "serve", "--data-dir", s.dataDir, "--listen", s.addr, "--http", s.http)
	words = append(words, s.extra...)
	s.command = exec.Command(words[0], words[1:]...)
	s.command.Stderr = s.errors
	if err := s.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan error, 1)
	s.exited = exited
	command := s.command
	go func() { exited <- command.Wait() }()
}

// kill ends the process as kill -9 does.
func (s *server) kill() {
	s.t.Helper()
	if err := s.command.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
}

// terminate asks the process to end and returns its exit code.
func (s *server) terminate() int {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Fatal("the broker did not end after SIGTERM")
	}
	return s.command.ProcessState.ExitCode()
}

func (s *server) client(options ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	// A kill may meet a connection's very first request, which kgo otherwise takes for a wrong configuration.
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.addr), kgo.AlwaysRetryEOF()}, options...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func (s *server) createTopic(topic string, partitions int32) {
	s.t.Helper()
	s.createTopicWith(topic, partitions, nil)
}

func (s *server) createTopicWith(topic string, partitions int32, configs map[string]*string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := kadm.NewClient(s.client()).CreateTopic(ctx, partitions, 1, configs, topic); err != nil {
		s.t.Fatal(err)
	}
}

// readAll returns every record that the topic holds now.
func (s *server) readAll(topic string) []*kgo.Record {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, err := kadm.NewClient(s.client()).ListEndOffsets(ctx, topic)
	if err != nil {
		s.t.Fatal(err)
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	c := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var records []*kgo.Record
	for int64(len(records)) < want {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			s.t.Fatalf("read %s: %d of %d records: %v", topic, len(records), want, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// eventually waits for a condition, as other processes have no clock that a test could turn.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}

// lockedBuffer keeps what a process wrote.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// tail is the last lines of it.
func (b *lockedBuffer) tail() string {
	lines := strings.Split(b.text(), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}
