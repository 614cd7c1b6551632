package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/whence"
	"github.com/millrace/millrace/streams"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// streamsReset makes an application begin anew.
type streamsReset struct {
	to string
	groupMove
}

// resetPlan is what becomes of an application's offsets and of the topics that it made.
type resetPlan struct {
	movePlan
	Topics []resetTopic `json:"topics"`
}

type resetTopic struct {
	Topic  string  `json:"topic"`
	Holds  string  `json:"holds"`
	Status string  `json:"status"`
	Error  *string `json:"error"`
}

// Tables returns the offsets, then the topics.
func (p *resetPlan) Tables() []output.Table {
	topics := output.Table{Headers: []string{"TOPIC", "HOLDS", "STATUS"}}
	for _, t := range p.Topics {
		topics.Rows = append(topics.Rows, []string{t.Topic, t.Holds, t.Status})
	}
	return append(p.movePlan.Tables(), topics)
}

func newStreamsResetCommand(c *connection) *cobra.Command {
	var options output.Options
	var reset streamsReset
	cmd := &cobra.Command{
		Use:   "reset APPLICATION",
		Short: "Make a stopped application begin anew, with empty stores",
		Long: `Make an application that has no members begin anew, after a look at the plan.

Its offsets move to the start of what it reads, or to where --to says, and the topics that it made
are deleted: changelogs, repartition topics and the stored description. What it has written to other
topics stays, and what it processes again it writes again.

State on the disks of its processes belongs to the deleted changelogs: delete the directory with the
application's name in their state directories. A process that finds such state leaves it out.`,
		Example: `  millrace streams reset orders --dry-run
  millrace streams reset orders --to @-1d --yes`,
		Args:              exactlyOne("APPLICATION"),
		ValidArgsFunction: c.completeStreamsApps(),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := whence.ParseBound("--to", reset.to, time.Now())
			if err != nil {
				return err
			}
			return reset.run(cmd, c, &options, args[0], to)
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&reset.to, "to", "start", "where it goes on in what it reads: start, end, N, +N, -N or @TIME")
	reset.addFlags(cmd.Flags())
	return cmd
}

func (r *streamsReset) run(cmd *cobra.Command, c *connection, options *output.Options, name string, to whence.Bound) error {
	if err := r.possible(cmd, "reset application "+name); err != nil {
		return err
	}
	var state *groupState
	var plan *resetPlan
	err := c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
		app, err := loadStreamsApp(ctx, c, client, name)
		if err != nil {
			return err
		}
		if state, err = loadGroup(ctx, client, name); err != nil {
			return err
		}
		if err := state.idle(); err != nil {
			return err
		}
		plan, err = app.planReset(ctx, client, state, to)
		return err
	})
	if err != nil {
		return err
	}
	if plan.keepAfterFailure() {
		return plan.print(cmd, options)
	}
	if err := r.askAbout(cmd, plan, "reset application "+name); err != nil {
		return err
	}
	if !r.dryRun {
		if err := r.applyReset(cmd, c, state, plan); err != nil {
			return err
		}
		fmt.Fprintf(notes(cmd), "then delete the directory %s in the state directory of each of its processes\n", name)
	}
	return plan.print(cmd, options)
}

// planReset plans where the application goes on, and which topics are deleted: those of its description that exist.
func (a *streamsApp) planReset(ctx context.Context, client *kadm.Client, state *groupState, to whence.Bound) (*resetPlan, error) {
	plan := &resetPlan{movePlan: movePlan{Group: a.description.App, Partitions: []offsetMove{}}, Topics: []resetTopic{}}
	chosen := selection{}
	wanted := []resetTopic{}
	for _, s := range a.description.Subtopologies {
		for _, source := range s.Sources {
			if topic, _ := a.description.Topic(source); !topic.Internal {
				chosen[topic.Kafka] = nil
			}
		}
	}
	for _, topic := range a.description.Topics {
		if topic.Internal {
			wanted = append(wanted, resetTopic{Topic: topic.Kafka, Holds: "records on their way"})
		}
	}
	for _, store := range a.description.Stores {
		wanted = append(wanted, resetTopic{Topic: store.Changelog, Holds: "changes of store " + store.Name})
	}
	wanted = append(wanted, resetTopic{Topic: streams.DescriptionTopic(a.description.App), Holds: "the description"})
	existing, err := client.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	for _, topic := range wanted {
		if existing.Has(topic.Topic) {
			topic.Status = "would be deleted"
			plan.Topics = append(plan.Topics, topic)
		}
	}
	for key := range state.offsets {
		if _, source := chosen[key.topic]; !source {
			plan.Partitions = append(plan.Partitions, state.moveTo(key, nil, -1, ""))
		}
	}
	moves, err := planAnew(to, chosen)(ctx, client, state)
	plan.Partitions = append(plan.Partitions, moves...)
	slices.SortFunc(plan.Partitions, func(x, y offsetMove) int {
		return partitionKey{x.Topic, x.Partition}.compare(partitionKey{y.Topic, y.Partition})
	})
	return plan, err
}

// planAnew is planBound without the metadata of the offsets: what an application notes there belongs to its old state.
func planAnew(to whence.Bound, chosen selection) planner {
	return func(ctx context.Context, client *kadm.Client, state *groupState) ([]offsetMove, error) {
		moves, err := planBound(to, chosen)(ctx, client, state)
		for at, move := range moves {
			if move.To != nil {
				moves[at] = state.moveTo(partitionKey{move.Topic, move.Partition}, move.To, -1, "")
			}
		}
		return moves, err
	}
}

// applyReset moves the offsets and then deletes the topics, the description last: until then, a reset that failed halfway can be
// run again.
func (r *streamsReset) applyReset(cmd *cobra.Command, c *connection, state *groupState, plan *resetPlan) error {
	if len(plan.moving()) > 0 {
		if err := r.apply(cmd, c, state, &plan.movePlan); err != nil {
			return err
		}
	}
	if plan.keepAfterFailure() {
		return nil
	}
	return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
		for at := range plan.Topics {
			topic := &plan.Topics[at]
			response, err := client.DeleteTopic(ctx, topic.Topic)
			if err == nil {
				err = response.Err
			}
			if err != nil {
				message := oneLine(brokerError(err, response.ErrMessage))
				topic.Status, topic.Error = "failed", &message
				return nil
			}
			topic.Status = "deleted"
		}
		return nil
	})
}

// keepAfterFailure keeps all topics if an offset cannot be moved: stores that are empty and offsets that are not at the start
// would be neither the old results nor new ones. It reports whether that is so.
func (p *resetPlan) keepAfterFailure() bool {
	if !slices.ContainsFunc(p.Partitions, func(move offsetMove) bool { return move.Error != nil }) {
		return false
	}
	for at := range p.Topics {
		p.Topics[at].Status = "kept"
	}
	return true
}

// print writes the plan with what became of it, and each failure also as a line on stderr.
func (p *resetPlan) print(cmd *cobra.Command, options *output.Options) error {
	if err := options.Print(cmd.OutOrStdout(), p); err != nil {
		return err
	}
	var failures failureLines
	for _, move := range p.Partitions {
		if move.Error != nil {
			failures.add(cmd.ErrOrStderr(), fmt.Errorf("topic %q partition %d: %s", move.Topic, move.Partition, *move.Error))
		}
	}
	for _, topic := range p.Topics {
		if topic.Error != nil {
			failures.add(cmd.ErrOrStderr(), errors.New("topic "+topic.Topic+": "+*topic.Error))
		}
	}
	return failures.err()
}
