package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/millrace/millrace/examples/internal/stage"
	"github.com/millrace/millrace/streams"
)

// The variables that make this program the process that is killed.
const (
	workerBrokers = "PAYMENTS_WORKER_BROKERS"
	workerState   = "PAYMENTS_WORKER_STATE"
)

func isWorker() bool { return os.Getenv(workerBrokers) != "" }

// work runs the topology until the end of stdin. Its state stays where it is when it is killed: the next process
// goes on from there.
func work() error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // which ends with the process at its other end, however that comes
		stop()
	}()
	return topology().Run(ctx, streams.Config{
		App:      "payments",
		Brokers:  strings.Split(os.Getenv(workerBrokers), ","),
		StateDir: os.Getenv(workerState),
	})
}

// workThroughKills has a process of its own post all transfers. It kills that in the middle, starts another in its place, and
// so on; only the last one may end.
func workThroughKills(ctx context.Context, s *stage.Stage) error {
	postings := 2 * s.Count
	for life := range kills + 1 {
		killed, mark := life < kills, postings*int64(life+1)/int64(kills+1)
		w, err := newWorker(s)
		if err != nil {
			return err
		}
		live := func(ctx context.Context) error { return w.live(ctx, killed) }
		if err := stage.While(ctx, live, func(ctx context.Context) error { return s.Await(ctx, balances.Name(), mark) }); err != nil {
			return err
		}
		if killed {
			s.Say("kill -9 %d with %d of %d postings committed", w.Process.Pid, mark, postings)
		}
	}
	return nil
}

// worker is this program once more, as the process that posts.
type worker struct {
	*exec.Cmd
	stdin io.Closer
}

func newWorker(s *stage.Stage) (worker, error) {
	program, err := os.Executable()
	if err != nil {
		return worker{}, fmt.Errorf("find this program: %w", err)
	}
	w := worker{Cmd: exec.Command(program)}
	w.Env = append(os.Environ(), workerBrokers+"="+strings.Join(s.Brokers, ","), workerState+"="+s.StateDir())
	w.Stdout, w.Stderr = os.Stderr, os.Stderr
	w.stdin, err = w.StdinPipe()
	return w, err
}

// live runs the process until ctx ends. Then it is killed, or may finish what it does.
func (w worker) live(ctx context.Context, killed bool) error {
	if err := w.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Wait() }()
	select {
	case err := <-ended:
		return fmt.Errorf("the worker ended by itself: %w", err)
	case <-ctx.Done():
	}
	end := w.stdin.Close
	if killed {
		end = w.Process.Kill
	}
	if err := end(); err != nil {
		return fmt.Errorf("end the worker: %w", err)
	}
	if err := <-ended; err != nil && !killed {
		return fmt.Errorf("the worker was to end: %w", err)
	}
	return nil
}
