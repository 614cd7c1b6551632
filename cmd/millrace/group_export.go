package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newGroupExportCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:               "export GROUP",
		Short:             "Print the offsets of a group as a file for group import",
		Example:           "  millrace group export billing > billing.json",
		Args:              exactlyOne("GROUP"),
		ValidArgsFunction: c.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				state, err := loadGroup(ctx, client, args[0])
				if err != nil {
					return err
				}
				if !state.exists {
					return unknownGroup(ctx, client, args[0])
				}
				keys := slices.SortedFunc(maps.Keys(state.offsets), partitionKey.compare)
				return options.Print(cmd.OutOrStdout(), state.snapshot(keys, time.Now()))
			})
		},
	}
	options.AddFlagsWith(cmd.Flags(), "json")
	return cmd
}
