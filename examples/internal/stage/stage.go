// Package stage is what the examples have in common: flags, a broker, data that go in and results that come out. What an
// example is about lies in its own directory.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/broker"
)

// Options say how an example runs.
type Options struct {
	Example Example
	Brokers []string  // none: a broker in this process
	Count   int64     // how many records are made up
	Seed    uint64    // of the data
	Clean   bool      // delete first what an earlier run has left on Brokers
	Out     io.Writer // gets what the example prints
}

// Stage is where an example runs.
type Stage struct {
	Options
	Dir string // a directory that is gone afterwards
}

// ErrUnverified is that an example came to its end without having checked itself.
var ErrUnverified = errors.New("ended without being verified")

// Run runs an example.
func Run(ctx context.Context, options Options) (err error) {
	s := &Stage{Options: options}
	if s.Dir, err = os.MkdirTemp("", "millrace-"+options.Example.Name+"-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.Dir)) }()
	if len(s.Brokers) == 0 {
		b, err := s.startBroker(ctx)
		if err != nil {
			return err
		}
		defer b.Close()
	}
	verified := &verdict{Writer: s.Out}
	s.Out = verified
	if err := s.Example.Run(ctx, s); err != nil {
		return err
	}
	if !verified.given {
		return ErrUnverified
	}
	return nil
}

func (s *Stage) startBroker(ctx context.Context) (*broker.Broker, error) {
	b, err := broker.New(broker.Options{
		DataDir: filepath.Join(s.Dir, "broker"),
		Listen:  "127.0.0.1:0",
		// An application of one process need not wait for others that join.
		Config: map[string]string{"group.initial.rebalance.delay.ms": "0"},
	})
	if err != nil {
		return nil, err
	}
	if err := b.Start(ctx); err != nil {
		return nil, fmt.Errorf("start a broker in %s: %w", s.Dir, err)
	}
	s.Brokers = []string{b.Addr().String()}
	return b, nil
}

// Say prints a line.
func (s *Stage) Say(format string, args ...any) {
	fmt.Fprintf(s.Out, format+"\n", args...)
}

// Verified prints the last line, of what was checked.
func (s *Stage) Verified(format string, args ...any) {
	if v, ok := s.Out.(*verdict); ok {
		v.given = true
	}
	s.Say("verified: "+format, args...)
}

// verdict remembers whether there was one.
type verdict struct {
	io.Writer
	given bool
}

// StateDir is where the example's application keeps its state.
func (s *Stage) StateDir() string { return filepath.Join(s.Dir, "state") }

// lookEvery is how often Until looks.
const lookEvery = 10 * time.Millisecond

// Until returns when done says so: what an application answers follows what it has committed by a moment.
func Until(ctx context.Context, done func() (bool, error)) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		if is, err := done(); is || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errEnded = errors.New("the application ended by itself")

// While runs an application, and ends it when work has returned. It returns what went wrong first; ctx ends both.
func While(ctx context.Context, application, work func(context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	working, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	ended := make(chan error, 1)
	go func() {
		err := application(running)
		interrupt(errEnded)
		ended <- err
	}()
	worked := work(working)
	endedFirst := context.Cause(working) == errEnded
	stop()
	switch err := <-ended; {
	case err != nil:
		return err
	case endedFirst && worked != nil:
		return errEnded
	default:
		return worked
	}
}
