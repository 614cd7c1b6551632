package main

import (
	"context"
	"strconv"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// clusterInfo is a cluster at a glance.
type clusterInfo struct {
	ClusterID  string         `json:"cluster_id"`
	Controller int32          `json:"controller"`
	Topics     int            `json:"topics"` // without internal ones
	Partitions int            `json:"partitions"`
	Offline    int            `json:"offline_partitions"`
	Brokers    []brokerDetail `json:"brokers"`
}

// brokerDetail is a broker as the cluster tells its clients of it.
type brokerDetail struct {
	ID         int32   `json:"id"`
	Host       string  `json:"host"`
	Port       int32   `json:"port"`
	Rack       *string `json:"rack"`
	Controller bool    `json:"controller"`
}

// Tables returns the cluster's facts and one row per broker.
func (i *clusterInfo) Tables() []output.Table {
	facts := output.Table{
		Headers: []string{"CLUSTER", "CONTROLLER", "TOPICS", "PARTITIONS", "OFFLINE"},
		Rows: [][]string{{
			i.ClusterID, number(i.Controller), number(i.Topics), number(i.Partitions), number(i.Offline),
		}},
	}
	return []output.Table{facts, brokerTable(i.Brokers)}
}

func brokerTable(brokers []brokerDetail) output.Table {
	table := output.Table{Headers: []string{"BROKER", "HOST", "PORT", "RACK", "CONTROLLER"}}
	for _, broker := range brokers {
		table.Rows = append(table.Rows, []string{
			number(broker.ID), broker.Host, number(broker.Port), text(broker.Rack), strconv.FormatBool(broker.Controller),
		})
	}
	return table
}

func newClusterInfoCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show the cluster's id, its brokers and how many topics it has",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				metadata, err := client.Metadata(ctx)
				if err != nil {
					return err
				}
				return options.Print(cmd.OutOrStdout(), summarizeCluster(metadata))
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

func summarizeCluster(metadata kadm.Metadata) *clusterInfo {
	info := &clusterInfo{ClusterID: metadata.Cluster, Controller: metadata.Controller, Brokers: describeBrokers(metadata)}
	for _, topic := range metadata.Topics {
		if topic.IsInternal {
			continue
		}
		info.Topics++
		for _, partition := range topic.Partitions {
			info.Partitions++
			if partition.Leader < 0 || len(partition.OfflineReplicas) > 0 {
				info.Offline++
			}
		}
	}
	return info
}

func describeBrokers(metadata kadm.Metadata) []brokerDetail {
	brokers := make([]brokerDetail, 0, len(metadata.Brokers))
	for _, broker := range metadata.Brokers {
		brokers = append(brokers, brokerDetail{
			ID: broker.NodeID, Host: broker.Host, Port: broker.Port, Rack: broker.Rack, Controller: broker.NodeID == metadata.Controller,
		})
	}
	return brokers
}
