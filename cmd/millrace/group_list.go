package main

import (
	"context"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type groupSummary struct {
	Name         string `json:"name"`
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"`
	Coordinator  int32  `json:"coordinator"`
}

type groupList struct {
	Groups []groupSummary `json:"groups"`
}

// Tables returns one row per group.
func (l *groupList) Tables() []output.Table {
	table := output.Table{Headers: []string{"GROUP", "STATE", "PROTOCOL-TYPE", "COORDINATOR"}}
	for _, group := range l.Groups {
		table.Rows = append(table.Rows, []string{group.Name, group.State, group.ProtocolType, number(group.Coordinator)})
	}
	return []output.Table{table}
}

func newGroupListCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List groups",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				groups, err := client.ListGroups(ctx)
				if err != nil {
					return err
				}
				list := groupList{Groups: []groupSummary{}}
				for _, group := range groups.Sorted() {
					list.Groups = append(list.Groups, groupSummary{
						Name: group.Group, State: group.State, ProtocolType: group.ProtocolType, Coordinator: group.Coordinator,
					})
				}
				return options.Print(cmd.OutOrStdout(), &list)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}
