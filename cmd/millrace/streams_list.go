package main

import (
	"context"
	"errors"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/streams"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type streamsSummary struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Members int    `json:"members"`
	Tasks   int    `json:"tasks"`
	Stores  int    `json:"stores"`
	Lag     int64  `json:"lag"`
}

type streamsList struct {
	Applications []streamsSummary `json:"applications"`
}

// Tables returns one row per application.
func (l *streamsList) Tables() []output.Table {
	table := output.Table{Headers: []string{"APPLICATION", "STATE", "MEMBERS", "TASKS", "STORES", "LAG"}}
	for _, app := range l.Applications {
		table.Rows = append(table.Rows, []string{app.Name, app.State, number(app.Members), number(app.Tasks), number(app.Stores), number(app.Lag)})
	}
	return []output.Table{table}
}

func newStreamsListCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List stream applications, and how far behind they are",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				list, err := listStreamsApps(ctx, c, client)
				if err != nil {
					return err
				}
				return options.Print(cmd.OutOrStdout(), list)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

func listStreamsApps(ctx context.Context, c *connection, client *kadm.Client) (*streamsList, error) {
	names, err := streamsAppNames(ctx, client)
	if err != nil {
		return nil, err
	}
	list := &streamsList{Applications: []streamsSummary{}}
	for _, name := range names {
		app := &streamsApp{}
		if app.description, err = readDescription(ctx, c, name); errors.Is(err, streams.ErrNoDescription) {
			continue // a topic of somebody else's with such a name
		}
		if err == nil {
			err = app.loadGroup(ctx, client)
		}
		if err != nil {
			return nil, err
		}
		tasks, err := app.tasks(ctx, client)
		if err != nil {
			return nil, err
		}
		list.Applications = append(list.Applications, streamsSummary{
			Name: name, State: app.state(), Members: len(app.group.Members), Tasks: len(tasks), Stores: len(app.description.Stores), Lag: totalLag(tasks),
		})
	}
	return list, nil
}
