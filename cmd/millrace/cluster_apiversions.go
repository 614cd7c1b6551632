package main

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type brokerAPIs struct {
	Broker int32      `json:"broker"`
	APIs   []apiRange `json:"apis"`
}

// apiRange is an API and the versions of it that a broker answers, both included.
type apiRange struct {
	Key        int16  `json:"key"`
	Name       string `json:"name"`
	MinVersion int16  `json:"min_version"`
	MaxVersion int16  `json:"max_version"`
}

type apiVersions struct {
	Brokers []brokerAPIs `json:"brokers"`
}

// Tables returns one row per broker and API.
func (v *apiVersions) Tables() []output.Table {
	table := output.Table{Headers: []string{"BROKER", "KEY", "API", "MIN", "MAX"}}
	for _, broker := range v.Brokers {
		for _, api := range broker.APIs {
			table.Rows = append(table.Rows, []string{
				number(broker.Broker), number(api.Key), api.Name, number(api.MinVersion), number(api.MaxVersion),
			})
		}
	}
	return []output.Table{table}
}

func newClusterAPIVersionsCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:   "api-versions",
		Short: "List the APIs that each broker has, with their versions",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				brokers, err := brokerVersions(ctx, client)
				if err != nil {
					return err
				}
				listed := &apiVersions{Brokers: []brokerAPIs{}}
				for _, broker := range brokers {
					apis := brokerAPIs{Broker: broker.NodeID, APIs: []apiRange{}}
					broker.EachKeySorted(func(key, minVersion, maxVersion int16) {
						apis.APIs = append(apis.APIs, apiRange{key, kmsg.NameForKey(key), minVersion, maxVersion})
					})
					listed.Brokers = append(listed.Brokers, apis)
				}
				return options.Print(cmd.OutOrStdout(), listed)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

// brokerVersions asks each broker what it can do. One that does not answer fails all.
func brokerVersions(ctx context.Context, client *kadm.Client) ([]kadm.BrokerApiVersions, error) {
	versions, err := client.ApiVersions(ctx)
	if err != nil {
		return nil, err
	}
	brokers := versions.Sorted()
	for _, broker := range brokers {
		if broker.Err != nil {
			return nil, fmt.Errorf("versions of broker %d: %w", broker.NodeID, brokerError(broker.Err, ""))
		}
	}
	return brokers, nil
}
