package main

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newGroupCommand(c *connection) *cobra.Command {
	return newParentCommand("group", "List, describe, move and delete consumer groups",
		newGroupListCommand(c),
		newGroupDescribeCommand(c),
		newGroupDeleteCommand(c),
		newGroupDeleteOffsetsCommand(c),
		newGroupSeekCommand(c),
		newGroupExportCommand(c),
		newGroupImportCommand(c),
	)
}

// unknownGroup returns the error for a group that does not exist.
func unknownGroup(ctx context.Context, client *kadm.Client, name string) error {
	existing, err := client.ListGroups(ctx)
	if err != nil {
		return fmt.Errorf("unknown group %q", name)
	}
	return fmt.Errorf("unknown group %q%s", name, usage.Hint(name, existing.Groups()))
}

// groupExists tells a group without members and offsets from none at all, which DescribeGroups does not.
func groupExists(ctx context.Context, client *kadm.Client, name string) (bool, error) {
	existing, err := client.ListGroups(ctx)
	if err != nil {
		return false, err
	}
	_, ok := existing[name]
	return ok, nil
}
