package main

import (
	"context"
	"fmt"
	"io"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/streams"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// streamsTopology is what an application does, node by node.
type streamsTopology struct {
	Topology streams.Description `json:"topology"`
}

// Tables returns, per sub-topology, its nodes.
func (t *streamsTopology) Tables() []output.Table {
	var tables []output.Table
	for _, s := range t.Topology.Subtopologies {
		table := output.Table{
			Title:   fmt.Sprintf("sub-topology %s  tasks %d", s.Name, s.Tasks),
			Headers: []string{"NODE", "OPERATOR", "FROM", "TOPICS", "STORES", "DEAD-LETTERS"},
		}
		for _, n := range s.Nodes {
			from := list(n.Parents)
			if n.Edge != "" {
				from += " (" + n.Edge + ")"
			}
			table.Rows = append(table.Rows, []string{n.Name, n.Operator, from, list(n.Topics), list(n.Stores), orDash(n.DeadLetters)})
		}
		tables = append(tables, table)
	}
	return tables
}

func newStreamsTopologyCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:   "topology APPLICATION",
		Short: "Show or draw the topology of an application",
		Long: `Show the topology that an application had when it last started, node by node.

--format dot is for Graphviz, --format mermaid for pages in Markdown.`,
		Example: `  millrace streams topology orders
  millrace streams topology orders --format dot | dot -Tsvg > orders.svg`,
		Args:              exactlyOne("APPLICATION"),
		ValidArgsFunction: c.completeStreamsApps(),
		RunE: withStreamsApp(c, func(_ context.Context, _ *kadm.Client, app *streamsApp, out io.Writer) (err error) {
			switch options.Format() {
			case "dot":
				_, err = fmt.Fprint(out, app.description.DOT())
			case "mermaid":
				_, err = fmt.Fprint(out, app.description.Mermaid())
			default:
				err = options.Print(out, &streamsTopology{app.description})
			}
			return err
		}),
	}
	options.AddFlagsAnd(cmd.Flags(), "dot", "mermaid")
	return cmd
}
