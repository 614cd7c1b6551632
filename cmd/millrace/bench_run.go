package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/load"
	"github.com/spf13/cobra"
)

// benchRun is one benchmark at work.
type benchRun struct {
	flags      *benchFlags
	connection *connection
	topic      *benchTopic
	ctx        context.Context // ends when the run is interrupted
	cmd        *cobra.Command
	recorder   *load.Recorder
	id         uint64 // marks the records of this run; 0: they are not recognized

	distribution *os.File    // of --hdr, or nil
	behind       atomic.Bool // not all could be written that was due

	beginning sync.Once
	start     time.Time
	cpu       time.Duration // of the process when the run began
	progress  sync.WaitGroup
	finished  chan struct{}
}

// run prepares a topic, has body measure, and prints the figures, also those of a run that was interrupted.
func (b *benchFlags) run(cmd *cobra.Command, c *connection, body func(*benchRun) error) error {
	if err := b.check(cmd); err != nil {
		return err
	}
	if _, err := b.produceOptions(); b.acks != "" && err != nil {
		return fmt.Errorf("%s: %w", commandName(cmd), err)
	}
	r := &benchRun{flags: b, connection: c, ctx: cmd.Context(), cmd: cmd, finished: make(chan struct{}),
		recorder: load.NewRecorder(b.warmUp)}
	if err := r.createDistribution(); err != nil {
		return err
	}
	topic, err := b.prepare(cmd.Context(), c)
	if err != nil {
		return err
	}
	defer b.remove(cmd.Context(), c, topic, cmd.ErrOrStderr())
	r.topic = topic
	stopped := body(r)
	close(r.finished)
	r.progress.Wait()
	if stopped != nil && r.ctx.Err() == nil {
		return stopped
	}
	topic.describe(r.ctx, c)
	if err := r.print(); err != nil {
		return err
	}
	if stopped != nil {
		return stopped
	}
	if counts, first := r.recorder.Counts(); counts.Errors > 0 {
		return fmt.Errorf("%d records failed, the first with: %w", counts.Errors, first)
	}
	if r.behind.Load() {
		return fmt.Errorf("%g records/s were not reached: %v after the end some that were due before it were still to be written, ask for less", b.rate, benchOverrunMax)
	}
	return nil
}

// now is the time since the run began.
func (r *benchRun) now() time.Duration { return time.Since(r.start) }

// begin starts the clock and tells of the progress each second.
func (r *benchRun) begin() {
	r.beginning.Do(func() {
		r.start, r.cpu = time.Now(), processorTime()
		r.progress.Go(r.tellProgress)
	})
}

func (r *benchRun) tellProgress() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var before load.Counts
	for {
		select {
		case <-r.finished:
			return
		case <-tick.C:
		}
		counts, _ := r.recorder.Counts()
		warming := ""
		if r.now() < r.flags.warmUp {
			warming = " (warm-up)"
		}
		done := counts.Records + counts.WarmUp - before.Records - before.WarmUp
		fmt.Fprintf(r.cmd.ErrOrStderr(), "%4.0fs  %d records/s  %d in all  %d errors%s\n", r.now().Seconds(), done,
			counts.Records+counts.WarmUp, counts.Errors, warming)
		before = counts
	}
}

// print writes the figures, and the distribution of latencies if it is wanted.
func (r *benchRun) print() error {
	if err := r.writeDistribution(); err != nil {
		return err
	}
	return r.flags.output.Print(r.cmd.OutOrStdout(), r.report())
}

// createDistribution opens the file of --hdr before anything is measured for it.
func (r *benchRun) createDistribution() (err error) {
	if r.flags.hdr != "" {
		r.distribution, err = os.Create(r.flags.hdr)
	}
	return err
}

func (r *benchRun) writeDistribution() error {
	if r.distribution == nil {
		return nil
	}
	err := r.recorder.WriteDistribution(r.distribution)
	if closed := r.distribution.Close(); err == nil {
		err = closed
	}
	return err
}
