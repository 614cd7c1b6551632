package main

import (
	"context"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type groupDeleteOffsets struct {
	topics []string
	groupMove
}

func newGroupDeleteOffsetsCommand(c *connection) *cobra.Command {
	var options output.Options
	var remove groupDeleteOffsets
	cmd := &cobra.Command{
		Use:   "delete-offsets GROUP --topic TOPIC[:PARTITIONS]...",
		Short: "Let a group forget where it is in a topic",
		Long: `Delete the offsets of a group without members, so that it begins again where its members say.
The offsets are written to a file that group import takes back.`,
		Example:           "  millrace group delete-offsets billing --topic orders:0,2",
		Args:              exactlyOne("GROUP"),
		ValidArgsFunction: c.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := parseSelection("--topic", remove.topics)
			if err != nil {
				return err
			}
			if chosen == nil {
				return usage.Errorf("group delete-offsets: needs --topic (group delete deletes all)")
			}
			return remove.run(cmd, c, &options, args[0], func(ctx context.Context, client *kadm.Client, state *groupState) ([]offsetMove, error) {
				if !state.exists {
					return nil, unknownGroup(ctx, client, state.group)
				}
				keys, err := chosen.partitions(ctx, client, state)
				if err != nil {
					return nil, err
				}
				var moves []offsetMove
				for _, key := range keys {
					moves = append(moves, state.moveTo(key, nil, -1, ""))
				}
				return moves, nil
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().StringArrayVar(&remove.topics, "topic", nil, "this topic, or these partitions of it: TOPIC[:0,3,5-7] (repeatable)")
	remove.addFlags(cmd.Flags())
	return cmd
}
