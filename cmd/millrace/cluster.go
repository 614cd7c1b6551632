package main

import "github.com/spf13/cobra"

func newClusterCommand(c *connection) *cobra.Command {
	return newParentCommand("cluster", "Look at brokers, what they can do and where they store",
		newClusterInfoCommand(c),
		newClusterBrokersCommand(c),
		newClusterAPIVersionsCommand(c),
		newClusterFeaturesCommand(c),
		newClusterLogDirsCommand(c),
		newClusterHealthCommand(c),
		newClusterConfigCommand(c),
		newClusterQuotasCommand(c),
	)
}
