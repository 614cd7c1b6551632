package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/clicks"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// Fixed sizes and bounds of the demo.
const (
	demoTopic      = "clicks"
	demoGroup      = "click-readers"
	demoPartitions = 6
	demoMembers    = 2
	// demoRecordsMax bounds what the ledger takes: 9 bytes per click.
	demoRecordsMax = 100_000_000
	// demoStallMax is how long nothing may move before the demo gives up.
	demoStallMax = 30 * time.Second
)

type demoFlags struct {
	seed     uint64
	duration time.Duration
	rate     int64
	kills    int
}

func newDemoCommand() *cobra.Command {
	flags := demoFlags{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Kill a broker with -9 under load and check that nothing was lost",
		Long: `Run a broker as a process of its own in a temporary directory, write a stream of clicks to it, read
it in a group, kill the broker with -9 and start it again in the middle, and account for every click.

Ends with a line "verified: ..." and 0 if every click that was acknowledged was delivered unchanged,
stored once and in order; else says what went wrong and ends with 1. A click that the group gets again
from the same place after a crash is counted as redelivered: it is stored once.`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := flags.plan(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return d.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&flags.seed, "seed", 1, "seed of the clicks: the same seed, the same bytes")
	f.DurationVar(&flags.duration, "duration", 12*time.Second, "how long clicks are written")
	f.Int64Var(&flags.rate, "rate", 25_000, "clicks per second")
	f.IntVar(&flags.kills, "kills", 3, "how often the broker is killed")
	return cmd
}

func (f *demoFlags) plan(stderr io.Writer) (*demo, error) {
	records := int64(f.duration.Seconds() * float64(f.rate))
	switch {
	case f.duration <= 0:
		return nil, usage.Errorf("demo: --duration must be greater than 0")
	case f.rate <= 0:
		return nil, usage.Errorf("demo: --rate must be greater than 0")
	case f.kills < 0:
		return nil, usage.Errorf("demo: --kills must not be negative")
	case records < 1 || records > demoRecordsMax:
		return nil, usage.Errorf("demo: --duration times --rate must be between 1 and %d clicks", demoRecordsMax)
	}
	stream := clicks.Stream{Seed: f.seed}
	return &demo{
		flags: *f, records: records, stream: stream, stderr: stderr, begin: time.Now(),
		ledger: clicks.NewLedger(stream, records),
	}, nil
}

// demo is one run.
type demo struct {
	flags   demoFlags
	records int64
	stream  clicks.Stream
	ledger  *clicks.Ledger
	stderr  io.Writer
	begin   time.Time
	broker  *demoBroker
}

// say writes a line of progress.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.stderr, "%5.1fs  %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) run(ctx context.Context, stdout io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "millrace-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if removed := os.RemoveAll(dir); err == nil {
			err = removed
		}
	}()
	if d.broker, err = newDemoBroker(filepath.Join(dir, "data")); err != nil {
		return err
	}
	defer d.broker.kill()
	if err := d.broker.start(ctx); err != nil {
		return err
	}
	d.say("broker (pid %d) on %s, data in %s", d.broker.pid(), d.broker.address, dir)
	if err := d.createTopic(ctx); err != nil {
		return err
	}
	d.say("writing %d clicks, %d per second, seed %d; %d members read them as group %s",
		d.records, d.flags.rate, d.flags.seed, demoMembers, demoGroup)
	stored, err := d.load(ctx)
	if err != nil {
		return d.explain(ctx, err)
	}
	if err := d.broker.stop(ctx); err != nil {
		return d.explain(ctx, err)
	}
	d.say("broker drained and ended with exit code 0")
	return d.verdict(stdout, stored)
}

// explain adds the broker's last words to an error, unless the demo was interrupted.
func (d *demo) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if words := d.broker.lastWords(); words != "" {
		fmt.Fprintf(d.stderr, "the broker's last lines:\n%s\n", words)
	}
	return fmt.Errorf("demo: %w", err)
}

func (d *demo) createTopic(ctx context.Context) error {
	c := connection{brokers: []string{d.broker.address}}
	return c.admin(ctx, func(ctx context.Context, client *kadm.Client) error {
		_, err := client.CreateTopic(ctx, demoPartitions, -1, nil, demoTopic)
		return err
	})
}

// load writes, reads and kills until every click was acknowledged and everything stored was
// delivered. It returns the number of records in the topic.
func (d *demo) load(ctx context.Context) (stored int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	readers, stopReading := context.WithCancel(ctx)
	defer stopReading()
	var parts, reading sync.WaitGroup
	part := func(group *sync.WaitGroup, body func() error) {
		group.Go(func() {
			if err := body(); err != nil {
				cancel(err)
			}
		})
	}
	for range demoMembers {
		part(&reading, func() error { return d.read(readers) })
	}
	part(&parts, func() error { return d.killRepeatedly(ctx) })
	part(&parts, func() error { return d.watch(readers) })
	produced := d.write(ctx)
	if produced == nil {
		stored, produced = d.awaitDelivery(ctx)
	}
	if produced == nil {
		produced = d.awaitCommit(ctx, stored)
	}
	if produced != nil {
		cancel(produced)
	}
	stopReading()
	reading.Wait()
	parts.Wait()
	return stored, context.Cause(ctx)
}

// watch prints the progress every second, and fails when nothing moves any more.
func (d *demo) watch(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	progress := stallWatch{limit: demoStallMax, moved: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		tally := d.ledger.Progress()
		d.say("%d acknowledged, %d received", tally.Sent, tally.Received)
		if progress.stalled(tally.Sent+tally.Received, true, time.Now()) {
			return fmt.Errorf("nothing moved for %v at %d acknowledged and %d received", demoStallMax, tally.Sent, tally.Received)
		}
	}
}

// verdict prints the result.
func (d *demo) verdict(stdout io.Writer, stored int64) error {
	tally, lost := d.ledger.Close()
	if tally.Exact() && tally.Sent == d.records && stored == d.records {
		_, err := fmt.Fprintf(stdout, "verified: sent=%d received=%d lost=0 duplicated=0 reordered=0 redelivered=%d kills=%d seconds=%.1f\n",
			tally.Sent, tally.Received, tally.Redelivered, d.flags.kills, time.Since(d.begin).Seconds())
		return err
	}
	for _, wrong := range []struct {
		count int64
		what  string
	}{
		{tally.Lost, "acknowledged clicks were lost"}, {tally.Duplicated, "clicks were stored more than once"},
		{tally.Altered, "records were not what was sent"}, {tally.Reordered, "clicks were stored out of order"},
		{d.records - tally.Sent, "clicks were never acknowledged"},
	} {
		if wrong.count != 0 {
			fmt.Fprintf(d.stderr, "demo: %d %s\n", wrong.count, wrong.what)
		}
	}
	if len(lost) > 0 {
		fmt.Fprintf(d.stderr, "demo: lost ids begin with %d\n", lost)
	}
	if stored != d.records {
		fmt.Fprintf(d.stderr, "demo: the topic holds %d records, %d were sent\n", stored, d.records)
	}
	return errors.New("demo: not verified")
}
