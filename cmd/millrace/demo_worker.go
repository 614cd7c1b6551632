package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/millrace/millrace/internal/clicks"
	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/millrace/millrace/windows"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	demoWindowSize = 10 * time.Second
	demoGrace      = 2 * time.Second
)

var (
	demoClicks = streams.NewTopic("clicks", serde.String, serde.JSON[clicks.Click]()) // by page
	demoViews  = streams.NewTopic("views-per-page", serde.Windowed(serde.String), serde.Int64)
	demoLate   = streams.NewTopic("clicks-late", serde.String, serde.JSON[clicks.Click]())
	demoWindow = windows.Tumbling(demoWindowSize).Grace(demoGrace)
)

// demoTopology counts clicks per page and window. Each change of a count is put out, so that whoever reads the counts sees
// each click once: 1, 2, 3 ...
func demoTopology() *streams.Topology {
	t := streams.NewTopology()
	w := streams.From(t, demoClicks).GroupByKey().Window(demoWindow)
	w.Late().To(demoLate)
	streams.WindowsToStream(w.Count(state.NewWindow("views", serde.String, serde.Int64))).To(demoViews)
	return t
}

// newDemoWorkerCommand is the process that is killed.
func newDemoWorkerCommand() *cobra.Command {
	var brokers []string
	var stateDir string
	cmd := &cobra.Command{
		Use:    "demo-worker",
		Short:  "Count the clicks of a demo, until the end of stdin",
		Args:   noArgument,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := context.WithCancel(cmd.Context())
			defer stop()
			go endWithParent(cmd.InOrStdin(), stop)
			return demoTopology().Run(ctx, streams.Config{
				App: "demo", Brokers: brokers, StateDir: stateDir, Client: demoClient(),
				Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
			})
		},
	}
	cmd.Flags().StringSliceVar(&brokers, "brokers", nil, "where the clicks are")
	cmd.Flags().StringVar(&stateDir, "state-dir", "", "where the counts are kept between two lives")
	return cmd
}

// demoRetry is how soon clients try a broker again that was killed.
const demoRetry = 50 * time.Millisecond

func demoClient() []kgo.Opt {
	return []kgo.Opt{
		kgo.AlwaysRetryEOF(), // a kill may meet a connection's very first request
		kgo.RetryBackoffFn(func(int) time.Duration { return demoRetry }),
		kgo.MetadataMinAge(demoRetry),
	}
}
