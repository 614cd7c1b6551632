package main

import (
	"context"
	"errors"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

type groupDelete struct {
	ifExists bool
	confirmation
}

func newGroupDeleteCommand(c *connection) *cobra.Command {
	var options output.Options
	var remove groupDelete
	cmd := &cobra.Command{
		Use:               "delete GROUP...",
		Aliases:           []string{"rm"},
		Short:             "Delete groups without members, and their offsets",
		Args:              atLeastOne("GROUP"),
		ValidArgsFunction: c.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			names := unique(args)
			if err := remove.ask(cmd, "delete group "+strings.Join(names, ", ")); err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				results := &itemResults{kind: "group"}
				for _, name := range names {
					status, err := remove.one(ctx, client, name)
					results.add(name, status, err)
				}
				return results.print(cmd, &options)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&remove.ifExists, "if-exists", false, "do not fail if a group does not exist")
	remove.addFlags(cmd.Flags())
	return cmd
}

func (g *groupDelete) one(ctx context.Context, client *kadm.Client, name string) (status string, err error) {
	exists, err := groupExists(ctx, client, name)
	switch {
	case err != nil:
		return "", err
	case !exists && g.ifExists:
		return "does not exist", nil
	case !exists:
		return "", unknownGroup(ctx, client, name)
	case g.dryRun:
		return "would be deleted", nil
	}
	response, err := client.DeleteGroup(ctx, name)
	if err == nil {
		err = response.Err
	}
	if errors.Is(err, kerr.NonEmptyGroup) {
		return "", brokerError(err, "it still has members, stop them first")
	}
	return "deleted", brokerError(err, "")
}
