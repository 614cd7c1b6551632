package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/load"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newBenchE2ECommand(c *connection) *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use:   "e2e",
		Short: "Write and read records in one process, and time their way",
		Long: `Write and read records in one process, and time their way.

A record carries when it was due; its latency counts from then until a consumer has it. Both are of
this process, so no two clocks are compared. What was acknowledged and never comes counts as an error.`,
		Example: "  millrace bench e2e --rate 5000 --partitions 3 --duration 30s --hdr latency.txt",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.size < load.StampBytes {
				return usage.Errorf("bench e2e: --size must be %d or more, for the time in each record", load.StampBytes)
			}
			return flags.run(cmd, c, (*benchRun).endToEnd)
		},
	}
	flags.addFlags(cmd.Flags())
	flags.addProduceFlags(cmd.Flags())
	flags.addConsumeFlags(cmd.Flags())
	return cmd
}

var errNotArrived = errors.New("acknowledged, and not read within " + benchDrainMax.String())

// endToEnd reads from where the topic ends now what it writes meanwhile.
func (r *benchRun) endToEnd() error {
	r.id = rand.Uint64() | 1 // not 0
	_, end, err := r.offsets()
	if err != nil {
		return err
	}
	clients, err := r.readers(end)
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(context.WithoutCancel(r.ctx))
	var readers sync.WaitGroup
	var acknowledged, arrived atomic.Int64
	news := make(chan struct{}, 1)
	r.begin()
	readers.Go(func() {
		r.readAll(reading, clients, func(record *kgo.Record) {
			if due, ours := load.Stamped(record.Value, r.id); ours {
				r.recorder.Done(len(record.Value), due, r.now())
				arrived.Add(1)
				select {
				case news <- struct{}{}:
				default:
				}
			}
		})
	})
	err = r.produce(func(int, time.Duration, time.Duration) { acknowledged.Add(1) })
	patience := time.NewTimer(benchDrainMax)
	defer patience.Stop()
	for late := false; arrived.Load() < acknowledged.Load() && !late; {
		select {
		case <-news:
			patience.Reset(benchDrainMax)
		case <-patience.C:
			late = true
		}
	}
	stop()
	readers.Wait()
	if missing := acknowledged.Load() - arrived.Load(); missing > 0 {
		r.recorder.FailedMany(missing, errNotArrived)
	}
	return err
}
