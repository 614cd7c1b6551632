package main

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type groupImport struct {
	group string
	force bool
	groupMove
}

func newGroupImportCommand(c *connection) *cobra.Command {
	var options output.Options
	var restore groupImport
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Set the offsets of a group to those of a file",
		Long: `Set the offsets of a group to those that group export wrote, or that group seek wrote before it
changed them. The group must not have members. "-" is stdin.`,
		Example: `  millrace group import billing.json
  millrace group import billing.json --group billing-v2 --yes`,
		Args: exactlyOne("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := readOffsetsFile(args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			group := file.Group
			if restore.group != "" {
				group = restore.group
			}
			return restore.run(cmd, c, &options, group, file.planner(args[0], nil, restore.force))
		},
	}
	options.AddFlags(cmd.Flags())
	f := cmd.Flags()
	f.StringVarP(&restore.group, "group", "g", "", "set the offsets of this group instead of the file's")
	f.BoolVar(&restore.force, "force", false, "take a file of another cluster")
	restore.addFlags(f)
	return cmd
}

// planner plans that a group goes on where the file says, in the chosen partitions.
func (g *groupOffsets) planner(name string, chosen selection, force bool) planner {
	return func(_ context.Context, _ *kadm.Client, state *groupState) ([]offsetMove, error) {
		if err := g.fits(state.cluster, name, force); err != nil {
			return nil, err
		}
		var moves []offsetMove
		for _, o := range g.Offsets {
			if key := (partitionKey{o.Topic, o.Partition}); chosen.has(key) {
				moves = append(moves, state.moveTo(key, o.Offset, o.LeaderEpoch, o.Metadata))
			}
		}
		if len(moves) == 0 {
			return nil, fmt.Errorf("%s has no such offsets", name)
		}
		return moves, nil
	}
}
