package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/internal/clicks"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// Fixed sizes and bounds of the demo.
const (
	demoPartitions = 6
	// demoRecordsMax bounds what is kept in memory to verify.
	demoRecordsMax = 100_000_000
	// demoStallMax is how long nothing may move before the demo gives up.
	demoStallMax = 30 * time.Second
)

type demoFlags struct {
	seed        uint64
	duration    time.Duration
	rate        int64
	kills       int
	brokerKills int
}

func newDemoCommand() *cobra.Command {
	flags := demoFlags{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Count clicks per page and window, exactly once, through kill -9",
		Long: `Run a broker in a temporary directory, write a stream of clicks to it, and count them per page and
window of ten seconds with a stream topology in a process of its own. Kill that process with -9 in the
middle, several times; it goes on where its last commit was. Clicks that come too late for their window
go to a topic of their own.

Ends with a line "verified: ..." and 0 if every click was counted exactly once or was late, and the
windows are those of a plain loop over the clicks; else says what went wrong and ends with 1.`,
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
	f.IntVar(&flags.kills, "kills", 3, "how often the process that counts is killed")
	f.IntVar(&flags.brokerKills, "broker-kills", 0, "how often the broker is killed")
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
	case f.brokerKills < 0:
		return nil, usage.Errorf("demo: --broker-kills must not be negative")
	case records < 1 || records > demoRecordsMax:
		return nil, usage.Errorf("demo: --duration times --rate must be between 1 and %d clicks", demoRecordsMax)
	}
	return &demo{
		flags: *f, records: records, live: newDemoTally(), view: newDemoView(stderr), begin: time.Now(),
		stream: clicks.Stream{Seed: f.seed, Users: 5_000, Every: 4 * time.Millisecond, Jitter: time.Second, LatePercent: 2, Delay: time.Minute},
	}, nil
}

// demo is one run.
type demo struct {
	flags   demoFlags
	records int64
	stream  clicks.Stream
	load    demoLoad
	live    *demoTally // what was counted so far
	view    *demoView
	begin   time.Time
	broker  *demoBroker
	worker  *demoProcess
}

// say tells what has happened.
func (d *demo) say(format string, args ...any) {
	d.view.say(fmt.Sprintf("%5.1fs  %s", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...)))
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
	defer d.killProcesses()
	if err := d.startProcesses(ctx, dir); err != nil {
		return d.explain(ctx, err)
	}
	d.say("writing %d clicks, %d per second, seed %d; counting them per page and %v", d.records, d.flags.rate, d.flags.seed, demoWindowSize)
	if err := d.countThroughKills(ctx); err != nil {
		return d.explain(ctx, err)
	}
	if err := d.worker.stop(ctx); err != nil {
		return d.explain(ctx, err)
	}
	d.say("the worker has committed and ended with exit code 0; reading all topics again")
	verdict, err := d.audit(ctx)
	if err == nil {
		err = d.broker.stop(ctx)
	}
	if err != nil {
		return d.explain(ctx, err)
	}
	return d.conclude(stdout, verdict)
}

func (d *demo) startProcesses(ctx context.Context, dir string) (err error) {
	if d.broker, err = newDemoBroker(filepath.Join(dir, "broker")); err != nil {
		return err
	}
	if err := d.broker.start(ctx); err != nil {
		return err
	}
	d.say("broker (pid %d) on %s, data in %s", d.broker.pid(), d.broker.address, dir)
	c := connection{brokers: []string{d.broker.address}}
	err = c.admin(ctx, func(ctx context.Context, client *kadm.Client) error {
		forever := map[string]*string{"retention.ms": kadm.StringPtr("-1")} // the clicks have times that are long past
		created, err := client.CreateTopics(ctx, demoPartitions, -1, forever, demoClicks.Name(), demoViews.Name(), demoLate.Name())
		if err != nil {
			return err
		}
		return created.Error()
	})
	if err != nil {
		return err
	}
	if d.worker, err = newDemoProcess("worker", "demo-worker", "--brokers", d.broker.address, "--state-dir", filepath.Join(dir, "state")); err != nil {
		return err
	}
	return d.worker.start()
}

func (d *demo) processes() (started []*demoProcess) {
	if d.broker != nil {
		started = append(started, d.broker.demoProcess)
	}
	if d.worker != nil {
		started = append(started, d.worker)
	}
	return started
}

func (d *demo) killProcesses() {
	for _, p := range d.processes() {
		p.kill()
	}
}

// explain adds the last words of the processes to an error, unless the demo was interrupted.
func (d *demo) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, p := range d.processes() {
		if words := p.lastWords(); words != "" {
			d.view.say(fmt.Sprintf("the last lines of the %s:\n%s", p.name, words))
		}
	}
	if d.broker != nil && !errors.Is(err, errEnded) && d.broker.endsWithin(demoEndMax) {
		return fmt.Errorf("demo: the %s %w: %w", d.broker.name, errEnded, err)
	}
	return fmt.Errorf("demo: %w", err)
}

// demoEndMax is how long it may take to learn that a process has ended that does not answer any more.
const demoEndMax = time.Second

// conclude prints the result.
func (d *demo) conclude(stdout io.Writer, v demoVerdict) error {
	if v.in == d.records && v.isExact() {
		_, err := fmt.Fprintf(stdout, "verified: in=%d out=%d late=%d lost=0 duplicated=0 windows=%d cells=%d kills=%d seconds=%.1f\n",
			v.in, v.out, v.late, v.windows, v.cells, d.flags.kills+d.flags.brokerKills, time.Since(d.begin).Seconds())
		return err
	}
	d.view.say(fmt.Sprintf("in=%d (written %d) out=%d late=%d lost=%d duplicated=%d", v.in, d.records, v.out, v.late, v.lost, v.duplicated))
	for _, difference := range v.examples {
		d.view.say(difference)
	}
	return fmt.Errorf("demo: not verified")
}
