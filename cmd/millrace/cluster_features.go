package main

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// feature is a level that brokers agree upon (KIP-584). Finalized is null where none is in force.
type feature struct {
	Broker    int32  `json:"broker"`
	Name      string `json:"name"`
	MinLevel  int16  `json:"min_level"`
	MaxLevel  int16  `json:"max_level"`
	Finalized *int64 `json:"finalized_level"`
}

type featureList struct {
	Features []feature `json:"features"`
}

// Tables returns one row per broker and feature.
func (l *featureList) Tables() []output.Table {
	table := output.Table{Headers: []string{"BROKER", "FEATURE", "MIN", "MAX", "FINALIZED"}}
	for _, f := range l.Features {
		table.Rows = append(table.Rows, []string{number(f.Broker), f.Name, number(f.MinLevel), number(f.MaxLevel), optional(f.Finalized)})
	}
	return []output.Table{table}
}

func newClusterFeaturesCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:   "features",
		Short: "List the features of each broker and the level that is in force",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				brokers, err := brokerVersions(ctx, client)
				if err != nil {
					return err
				}
				listed := &featureList{Features: []feature{}}
				for _, broker := range brokers {
					listed.Features = append(listed.Features, featuresOf(broker)...)
				}
				return options.Print(cmd.OutOrStdout(), listed)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

func featuresOf(broker kadm.BrokerApiVersions) []feature {
	response := broker.Raw()
	var features []feature
	for _, supported := range response.SupportedFeatures {
		f := feature{Broker: broker.NodeID, Name: supported.Name, MinLevel: supported.MinVersion, MaxLevel: supported.MaxVersion}
		for _, finalized := range response.FinalizedFeatures {
			if finalized.Name == supported.Name {
				level := int64(finalized.MaxVersionLevel)
				f.Finalized = &level
			}
		}
		features = append(features, f)
	}
	slices.SortFunc(features, func(a, b feature) int { return strings.Compare(a.Name, b.Name) })
	return features
}
