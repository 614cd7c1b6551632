package main

import (
	"context"
	"fmt"
	"os"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
)

// finding is one thing that the doctor looked at.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Text   string `json:"finding"`
	Fix    string `json:"fix,omitempty"`
}

// What became of a check.
const (
	statusOK      = "ok"
	statusProblem = "problem"
	statusUnknown = "unknown" // it could not be looked at, and that is no fault
)

// diagnosis is all findings, in the order of the checks.
type diagnosis struct {
	Findings []finding `json:"findings"`
}

// Tables returns one row per finding.
func (d *diagnosis) Tables() []output.Table {
	table := output.Table{Headers: []string{"STATUS", "CHECK", "FINDING", "FIX"}}
	for _, f := range d.Findings {
		table.Rows = append(table.Rows, []string{f.Status, f.Check, f.Text, f.Fix})
	}
	return []output.Table{table}
}

func (d *diagnosis) ok(check, format string, args ...any) {
	d.Findings = append(d.Findings, finding{Check: check, Status: statusOK, Text: fmt.Sprintf(format, args...)})
}

func (d *diagnosis) unknown(check, format string, args ...any) {
	d.Findings = append(d.Findings, finding{Check: check, Status: statusUnknown, Text: fmt.Sprintf(format, args...)})
}

// problem stores what is wrong, and fix, what to do about it.
func (d *diagnosis) problem(check, fix, format string, args ...any) {
	d.Findings = append(d.Findings, finding{Check: check, Status: statusProblem, Text: fmt.Sprintf(format, args...), Fix: fix})
}

// err is errReported if there is a problem.
func (d *diagnosis) err() error {
	for _, f := range d.Findings {
		if f.Status == statusProblem {
			return errReported
		}
	}
	return nil
}

type doctorFlags struct {
	http    string
	file    string
	dataDir string
}

func newDoctorCommand(c *connection) *cobra.Command {
	var options output.Options
	var flags doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps clients from working, and say how to fix it",
		Long: `Connect as a client does, to any Kafka cluster, and check each address that clients are told: that it resolves, that
it can be reached from here, that it is the same cluster. With -c or --data-dir, look at this machine too: settings,
ports, disk, permissions, file descriptors. Exit code 0 if all is well, 1 if there is a problem.`,
		Example: `  millrace doctor -b broker.example:9092
  millrace doctor -c /etc/millrace/millrace.yaml --data-dir /var/lib/millrace`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			addresses, clientOptions, err := c.target()
			if err != nil {
				return err
			}
			var found diagnosis
			ctx := cmd.Context()
			examineCluster(ctx, &found, addresses, clientOptions)
			examineHTTP(ctx, &found, flags.httpAddress(addresses[0]), flags.http != "")
			if flags.file != "" || flags.dataDir != "" {
				flags.examineMachine(&found, os.Environ())
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := options.Print(cmd.OutOrStdout(), &found); err != nil {
				return err
			}
			return found.err()
		},
	}
	options.AddFlags(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&flags.http, "http", "", "the broker's HTTP address (default: port 9644 of the first broker of -b)")
	f.StringVarP(&flags.file, "config", "c", "", "look at this machine: the settings that a broker here starts with")
	f.StringVar(&flags.dataDir, "data-dir", "", "look at this machine: the data directory of a broker here")
	return cmd
}

// bounded is ctx that ends after reachMax.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, reachMax)
}
