package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// clusterHealth says whether clients can work, and what stands against it.
type clusterHealth struct {
	Healthy  bool     `json:"healthy"`
	Problems []string `json:"problems"`
}

// Tables returns one row, or one per problem.
func (h *clusterHealth) Tables() []output.Table {
	table := output.Table{Headers: []string{"HEALTHY", "PROBLEM"}}
	for _, problem := range h.Problems {
		table.Rows = append(table.Rows, []string{strconv.FormatBool(h.Healthy), problem})
	}
	if len(table.Rows) == 0 {
		table.Rows = [][]string{{strconv.FormatBool(h.Healthy), ""}}
	}
	return []output.Table{table}
}

// healthInterval is the pause between two looks of --watch.
const healthInterval = time.Second

type clusterHealthFlags struct {
	watch, exitWhenHealthy, local bool
	http                          string
}

func newClusterHealthCommand(c *connection) *cobra.Command {
	var options output.Options
	var flags clusterHealthFlags
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say whether the cluster is healthy: exit code 0 if so, 1 if not",
		Long: `Say whether a broker answers and all partitions have their leader and their replicas.
With --local: whether the broker of this machine is ready, by its HTTP port, as health checks of containers ask.`,
		Args: noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			look := func(ctx context.Context) *clusterHealth { return lookAtCluster(ctx, c) }
			if flags.local {
				address, err := localHTTP(flags.http)
				if err != nil {
					return err
				}
				look = func(ctx context.Context) *clusterHealth { return lookAtReadiness(ctx, address) }
			} else if _, _, err := c.target(); err != nil {
				return err
			}
			if cmd.Flags().Changed("http") && !flags.local {
				return usage.Errorf("cluster health: --http needs --local")
			}
			if flags.exitWhenHealthy && !flags.watch {
				return usage.Errorf("cluster health: -e needs -w")
			}
			return flags.run(cmd, &options, look)
		},
	}
	options.AddFlags(cmd.Flags())
	f := cmd.Flags()
	f.BoolVarP(&flags.watch, "watch", "w", false, "look again every second, and print what changes")
	f.BoolVarP(&flags.exitWhenHealthy, "exit-when-healthy", "e", false, "with -w: end once all is well")
	f.BoolVar(&flags.local, "local", false, "ask /readyz of the broker on this machine instead")
	f.StringVar(&flags.http, "http", "", "with --local: the HTTP address (env MILLRACE_HTTP, default "+defaultHTTP+")")
	return cmd
}

// run looks once, or until ctx ends.
func (f *clusterHealthFlags) run(cmd *cobra.Command, options *output.Options, look func(context.Context) *clusterHealth) error {
	ctx := cmd.Context()
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	var last *clusterHealth
	for {
		health := look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if last == nil || !slices.Equal(health.Problems, last.Problems) {
			if err := options.Print(cmd.OutOrStdout(), health); err != nil {
				return err
			}
		}
		last = health
		if health.Healthy && (!f.watch || f.exitWhenHealthy) {
			return nil
		}
		if !f.watch {
			return errReported
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func healthOf(problems []string) *clusterHealth {
	return &clusterHealth{Healthy: len(problems) == 0, Problems: append([]string{}, problems...)}
}

// lookAtCluster asks as a client does.
func lookAtCluster(ctx context.Context, c *connection) *clusterHealth {
	var problems []string
	err := c.admin(ctx, func(ctx context.Context, client *kadm.Client) error {
		metadata, err := client.Metadata(ctx)
		if err == nil {
			problems = clusterProblems(metadata)
		}
		return err
	})
	if err != nil {
		problems = []string{oneLine(err)}
	}
	return healthOf(problems)
}

// clusterProblems are what clients would stumble over, in the order of topics and partitions.
func clusterProblems(metadata kadm.Metadata) []string {
	var problems []string
	if len(metadata.Brokers) == 0 {
		problems = append(problems, "no broker is known")
	}
	for _, topic := range metadata.Topics.Sorted() {
		if topic.Err != nil {
			problems = append(problems, fmt.Sprintf("topic %s: %s", topic.Topic, oneLine(brokerError(topic.Err, ""))))
		}
		for _, p := range topic.Partitions.Sorted() {
			where := fmt.Sprintf("partition %s-%d", p.Topic, p.Partition)
			switch {
			case p.Leader < 0:
				problems = append(problems, where+" has no leader")
			case len(p.OfflineReplicas) > 0:
				problems = append(problems, where+" is offline, the broker's log says why")
			case len(p.ISR) < len(p.Replicas):
				problems = append(problems, fmt.Sprintf("%s has %d of %d replicas in sync", where, len(p.ISR), len(p.Replicas)))
			case p.Err != nil:
				problems = append(problems, where+": "+oneLine(brokerError(p.Err, "")))
			}
		}
	}
	return problems
}
