package stage

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Example is a program that makes up its data, has a topology process them, and checks what came of it.
type Example struct {
	Name  string                                    // of the program, of its application and of its topics of its own
	About string                                    // a sentence
	Count int64                                     // how many records are made up unless -count says otherwise
	Flags func(*flag.FlagSet)                       // flags of its own; nil: none
	Run   func(ctx context.Context, s *Stage) error // calls s.Verified if all is as it should be
}

// exit codes, as those of the command millrace
const (
	failed     = 1
	wrongUsage = 2
)

// Main runs the example by its command line and ends the process: with 0 if it was verified, with 1 if not, with 2 for a
// wrong flag.
func Main(e Example) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, e, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, e Example, arguments []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(e.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	options := Options{Example: e, Out: stdout}
	brokers := flags.String("brokers", "", "brokers to use, as `host:port,...`; empty: one in this process, in a temporary directory")
	flags.Int64Var(&options.Count, "count", e.Count, "how many records are made up")
	flags.Uint64Var(&options.Seed, "seed", 1, "seed of the data: the same seed, the same data")
	flags.BoolVar(&options.Clean, "clean", false, "delete first what an earlier run has left on the brokers")
	timeout := flags.Duration("timeout", 5*time.Minute, "after what time to give up")
	if e.Flags != nil {
		e.Flags(flags)
	}
	flags.Usage = func() {
		fmt.Fprintf(stderr, "%s\n\nusage: go run ./examples/%s [flags]\n\n", e.About, e.Name)
		flags.PrintDefaults()
	}
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return wrongUsage
	case flags.NArg() > 0 || options.Count < 1 || *timeout <= 0:
		fmt.Fprintf(stderr, "%s: takes flags only, with a -count and a -timeout above 0; see -help\n", e.Name)
		return wrongUsage
	}
	if *brokers != "" {
		options.Brokers = strings.Split(*brokers, ",")
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := Run(ctx, options); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", e.Name, err)
		return failed
	}
	return 0
}
