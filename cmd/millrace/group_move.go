package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
)

// offsetMove is what becomes of a group's offset in one partition. From is null where there was
// none, To where there is to be none.
type offsetMove struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	From      *int64  `json:"from"`
	To        *int64  `json:"to"`
	Change    *int64  `json:"change"`
	Status    string  `json:"status"`
	Error     *string `json:"error"`

	leaderEpoch int32
	metadata    string
}

// movePlan is what a command does to the offsets of a group. UndoFile is null when nothing was done.
type movePlan struct {
	Group      string       `json:"group"`
	UndoFile   *string      `json:"undo_file"`
	Partitions []offsetMove `json:"partitions"`
}

// Tables returns one row per partition.
func (p *movePlan) Tables() []output.Table {
	table := output.Table{Headers: []string{"TOPIC", "PARTITION", "FROM", "TO", "CHANGE", "STATUS"}}
	for _, move := range p.Partitions {
		change := ""
		if move.Change != nil {
			change = fmt.Sprintf("%+d", *move.Change)
		}
		table.Rows = append(table.Rows, []string{move.Topic, number(move.Partition), optional(move.From), optional(move.To), change, move.Status})
	}
	return []output.Table{table}
}

const (
	statusWouldMove = "would be moved"
	statusUnchanged = "unchanged"
)

// moveTo plans that the group goes on at to, or, with nil, that it has no offset.
func (s *groupState) moveTo(key partitionKey, to *int64, leaderEpoch int32, metadata string) offsetMove {
	move := offsetMove{
		Topic: key.topic, Partition: key.partition, To: to, Status: statusWouldMove, leaderEpoch: leaderEpoch, metadata: metadata,
	}
	committed, ok := s.offsets[key]
	if ok {
		move.From = &committed.At
	}
	switch {
	case move.From == nil && to == nil:
		move.Status = statusUnchanged
	case move.From != nil && to != nil:
		change := *to - *move.From
		move.Change = &change
		if change == 0 && committed.Metadata == metadata {
			move.Status = statusUnchanged
		}
	}
	return move
}

func (m *offsetMove) fail(err error) {
	message := oneLine(err)
	m.Status, m.Error = "failed", &message
}

// groupMove is what the commands share that change a group's offsets: look, show, ask, write down
// how it was, change.
type groupMove struct {
	confirmation
	undo string
}

func (m *groupMove) addFlags(flags *pflag.FlagSet) {
	m.confirmation.addFlags(flags)
	flags.StringVar(&m.undo, "undo", "", "new file for the offsets as they were (default: one in $XDG_STATE_HOME/millrace/undo)")
}

// planner decides what becomes of the group's offsets.
type planner func(ctx context.Context, client *kadm.Client, state *groupState) ([]offsetMove, error)

func (m *groupMove) run(cmd *cobra.Command, c *connection, options *output.Options, group string, plan planner) error {
	if err := m.possible(cmd, "change the offsets of group "+group); err != nil {
		return err
	}
	var state *groupState
	planned := &movePlan{Group: group, Partitions: []offsetMove{}}
	err := c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) (err error) {
		if state, err = loadGroup(ctx, client, group); err != nil {
			return err
		}
		if err := state.idle(); err != nil {
			return err
		}
		moves, err := plan(ctx, client, state)
		planned.Partitions = append(planned.Partitions, moves...)
		return err
	})
	if err != nil {
		return err
	}
	if moving := planned.moving(); len(moving) > 0 {
		if err := m.askAbout(cmd, planned, "change the offsets of group "+group); err != nil {
			return err
		}
		if !m.dryRun {
			if err := m.apply(cmd, c, state, planned); err != nil {
				return err
			}
		}
	}
	return planned.print(cmd, options)
}

// moving returns the partitions in which something changes.
func (p *movePlan) moving() (keys []partitionKey) {
	for _, move := range p.Partitions {
		if move.Status == statusWouldMove {
			keys = append(keys, partitionKey{move.Topic, move.Partition})
		}
	}
	return keys
}

// apply writes the undo file first: without it nothing changes.
func (m *groupMove) apply(cmd *cobra.Command, c *connection, state *groupState, plan *movePlan) error {
	name, err := state.snapshot(plan.moving(), time.Now()).writeUndo(m.undo)
	if err != nil {
		return fmt.Errorf("undo file: %w; nothing was changed", err)
	}
	plan.UndoFile = &name
	fmt.Fprintf(notes(cmd), "undo with: millrace group import %s\n", name)
	return c.admin(cmd.Context(), plan.send)
}

// send commits and deletes the offsets of the plan and stores what became of each.
func (p *movePlan) send(ctx context.Context, client *kadm.Client) error {
	commits, deletes := kadm.Offsets{}, kadm.TopicsSet{}
	for _, move := range p.Partitions {
		switch {
		case move.Status != statusWouldMove:
		case move.To == nil:
			deletes.Add(move.Topic, move.Partition)
		default:
			commits.Add(kadm.Offset{
				Topic: move.Topic, Partition: move.Partition, At: *move.To, LeaderEpoch: move.leaderEpoch, Metadata: move.metadata,
			})
		}
	}
	var committed kadm.OffsetResponses
	var deleted kadm.DeleteOffsetsResponses
	var commitErr, deleteErr error
	if len(commits) > 0 {
		committed, commitErr = client.CommitOffsets(ctx, p.Group, commits)
	}
	if len(deletes) > 0 {
		deleted, deleteErr = client.DeleteOffsets(ctx, p.Group, deletes)
	}
	for i := range p.Partitions {
		move := &p.Partitions[i]
		if move.Status != statusWouldMove {
			continue
		}
		err, answered := deleteErr, deleteErr != nil
		if move.To == nil && !answered {
			err, answered = deleted.Lookup(move.Topic, move.Partition)
		}
		if move.To != nil {
			var response kadm.OffsetResponse
			response, answered = committed.Lookup(move.Topic, move.Partition)
			err = errors.Join(commitErr, response.Err)
		}
		move.finish(err, answered)
	}
	return nil
}

func (m *offsetMove) finish(err error, answered bool) {
	switch {
	case err != nil:
		m.fail(brokerError(err, ""))
	case !answered:
		m.fail(errors.New("the broker did not say what became of it"))
	case m.To == nil:
		m.Status = "deleted"
	default:
		m.Status = "moved"
	}
}

// print writes the plan with what became of it, and each failure also as a line on stderr.
func (p *movePlan) print(cmd *cobra.Command, options *output.Options) error {
	slices.SortFunc(p.Partitions, func(a, b offsetMove) int {
		return partitionKey{a.Topic, a.Partition}.compare(partitionKey{b.Topic, b.Partition})
	})
	if err := options.Print(cmd.OutOrStdout(), p); err != nil {
		return err
	}
	var failures failureLines
	for _, move := range p.Partitions {
		if move.Error != nil {
			failures.add(cmd.ErrOrStderr(), fmt.Errorf("topic %q partition %d: %s", move.Topic, move.Partition, *move.Error))
		}
	}
	return failures.err()
}
