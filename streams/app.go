package streams

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/streams/internal/engine"
)

// App is a topology that runs in this process, with as many tasks as the application's group assigns to it. Its methods are safe
// for concurrent use.
type App struct {
	options  engine.Options
	topology *Topology
	counters *engine.Counters
	shell    *engine.Shell

	started  atomic.Bool
	finished chan struct{} // closed when Run returns
	closing  chan struct{} // closed by Close
	close    sync.Once
}

// New checks topology and configuration. The error has all mistakes of both. It does not connect.
func New(t *Topology, c Config) (*App, error) {
	program, err := Compile(t)
	if err = errors.Join(err, c.check()); err != nil {
		return nil, fmt.Errorf("streams: %w", err)
	}
	a := &App{topology: t, counters: engine.NewCounters(), finished: make(chan struct{}), closing: make(chan struct{})}
	a.options = c.options()
	a.options.Program, a.options.Counters = program, a.counters
	a.options.Notify = func(phase engine.Phase, err error) {
		if c.OnState != nil {
			c.OnState(State(phase), err)
		}
	}
	a.shell = engine.NewShell(a.options)
	return a, nil
}

// Run runs the topology until ctx ends, it fails, or Close is called. It then finishes the record in hand of each task, commits,
// and leaves the group, so that other processes go on at once. It returns nil unless it failed, and can be called once.
//
// It waits for brokers that are away. What cannot pass by itself is an error that says what to do: topics that are missing or
// have other partition counts than before, a topology that does not fit what is stored, a state directory that another
// process has, a record for which a policy says fail.
func (a *App) Run(ctx context.Context) error {
	if a.started.Swap(true) {
		return errors.New("streams: Run was called before")
	}
	defer close(a.finished)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-a.closing:
			stop()
		case <-over:
		}
	}()
	err := a.shell.Run(ctx)
	close(over)
	<-watched
	if err != nil {
		return fmt.Errorf("streams: application %s: %w", a.options.App, err)
	}
	return nil
}

// Close ends Run as the end of its context does, and waits for it. It may be called at any time, and again, but not by the
// topology's functions or by OnState.
func (a *App) Close() {
	a.close.Do(func() { close(a.closing) })
	if a.started.Load() {
		<-a.finished
	}
}

// State returns what the App is doing.
func (a *App) State() State { return State(a.shell.Phase()) }

// Run runs the topology with a configuration: New and App.Run.
func (t *Topology) Run(ctx context.Context, c Config) error {
	a, err := New(t, c)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}
