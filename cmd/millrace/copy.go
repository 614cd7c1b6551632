package main

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/cmd/millrace/internal/whence"
	"github.com/spf13/cobra"
)

type copyFlags struct {
	to          connection // zero: the cluster of the source
	offset      string
	exactlyOnce bool
	follow      bool
	dryRun      bool
	group       string
	rate        int64
	selectFlags
}

func newCopyCommand(c *connection) *cobra.Command {
	var options output.Options
	var flags copyFlags
	cmd := &cobra.Command{
		Use:   "copy SOURCE DESTINATION",
		Short: "Copy the records of a topic to another, within a cluster or to another one",
		Long: `Copy the records of topic SOURCE to topic DESTINATION, up to the end as it is at the start, or with --follow
for ever. Partition, key, value, headers and timestamp stay as they are. DESTINATION is created with the partitions of SOURCE
if it does not exist. Records of transactions that were aborted are not copied. Before one that is open a copy ends, or waits
with --follow. Partitions that are added to SOURCE while it runs are copied by the next one.

How far it has come is kept as the offsets of a group, --group, in the cluster of DESTINATION: a copy that is started again goes
on where it was. -o says where to begin, and end, in a partition without such an offset, as in consume.

With --exactly-once the copies and these offsets are committed in one transaction: however often copy or a broker is killed,
each record is there once, for consumers that read committed records (isolation.level=read_committed). That holds within a
cluster and from one to another, as long as the group and its offsets are kept and records are not deleted from SOURCE before
they are copied, which is an error. A copy that is started while another has the same group ends that one.
Without it, a copy that was killed may copy some records again.

Within a cluster the offsets are those of SOURCE, so that group describe tells how far it is. For another cluster they are
stored under the name of DESTINATION, since SOURCE need not exist there, and the default --group ends in the id of the
cluster that SOURCE is in.`,
		Example: `  millrace copy orders orders-copy --exactly-once
  millrace copy orders orders --to-brokers backup:9092 --exactly-once --follow
  millrace copy clicks clicks-eu --jq '.key|startswith("eu")' --rate 10000 --dry-run`,
		Args:              copyArguments,
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := flags.plan(cmd, args[0], args[1])
			if err != nil {
				return err
			}
			plan.from, plan.output = c, &options
			return plan.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&flags.to.brokers, "to-brokers", nil, "brokers of the destination's cluster, HOST[:PORT],... (default: the source's)")
	f.StringVar(&flags.to.profile, "to-profile", "", "take the settings for the destination's cluster from this profile")
	f.StringArrayVar(&flags.to.pairs, "to-set", nil, "client setting for the destination's cluster, KEY=VALUE (repeatable)")
	f.StringVar(&flags.to.file, "to-client-config", "", "file with client settings for the destination's cluster")
	f.BoolVar(&flags.exactlyOnce, "exactly-once", false, "commit copies and offsets in transactions")
	f.BoolVar(&flags.follow, "follow", false, "go on with new records")
	f.StringVarP(&flags.offset, "offset", "o", "start", "where to begin and end in a partition without a committed offset")
	f.StringVar(&flags.group, "group", "", "group whose offsets say how far the copy is (default copy.SOURCE.DESTINATION)")
	f.Int64Var(&flags.rate, "rate", 0, "copy at most so many records a second")
	f.BoolVar(&flags.dryRun, "dry-run", false, "say what would be copied, do nothing")
	flags.addFlags(f, "copy")
	options.AddFlags(f)
	return cmd
}

func copyArguments(_ *cobra.Command, args []string) error {
	if len(args) != 2 || args[0] == "" || args[1] == "" {
		return errors.New("needs SOURCE and DESTINATION, two topics")
	}
	return nil
}

func (f *copyFlags) plan(cmd *cobra.Command, source, destination string) (*copyPlan, error) {
	changed := cmd.Flags().Changed
	plan := &copyPlan{source: source, destination: destination, exactlyOnce: f.exactlyOnce, follow: f.follow, dryRun: f.dryRun, rate: f.rate}
	if changed("rate") && f.rate < 1 {
		return nil, usage.Errorf("copy: --rate must be greater than 0")
	}
	if changed("group") && f.group == "" {
		return nil, usage.Errorf("copy: --group needs the name of a group")
	}
	for _, name := range []string{"to-brokers", "to-profile", "to-set", "to-client-config"} {
		if changed(name) {
			f.to.apart = true
			plan.to = &f.to
		}
	}
	plan.group = f.group
	if plan.group == "" {
		plan.groupIsDefault = true
		plan.group = "copy." + source + "." + destination
	}
	var err error
	if plan.span, err = whence.Parse(f.offset, time.Now()); err != nil {
		return nil, err
	}
	if plan.follow && plan.span.Bounded {
		return nil, usage.Errorf("copy: --follow and an end in -o exclude each other")
	}
	plan.wanted, err = f.recordFilter("copy", changed)
	plan.wanted.selects = true
	return plan, err
}

// copyPlan is what the command line of copy asks for.
type copyPlan struct {
	source, destination string
	from, to            *connection // to nil: the same cluster
	group               string
	groupIsDefault      bool
	span                whence.Range
	exactlyOnce         bool
	follow              bool
	dryRun              bool
	rate                int64 // 0: no limit
	wanted              recordFilter
	output              *output.Options
}

func (p *copyPlan) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	if p.to == nil {
		p.to = p.from
	}
	setting, err := p.look(ctx)
	if err != nil {
		return err
	}
	defer setting.close()
	if p.dryRun {
		return p.output.Print(cmd.OutOrStdout(), setting.preview())
	}
	return p.copy(ctx, cmd, setting)
}

// copyBounded ends requests of the preparation that nobody answers.
func copyBounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, requestMax)
}
