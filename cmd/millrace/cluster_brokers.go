package main

import (
	"context"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type brokerList struct {
	Brokers []brokerDetail `json:"brokers"`
}

// Tables returns one row per broker.
func (l *brokerList) Tables() []output.Table { return []output.Table{brokerTable(l.Brokers)} }

func newClusterBrokersCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:   "brokers",
		Short: "List brokers and the addresses that they tell clients",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				metadata, err := client.BrokerMetadata(ctx)
				if err != nil {
					return err
				}
				return options.Print(cmd.OutOrStdout(), &brokerList{describeBrokers(metadata)})
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}
