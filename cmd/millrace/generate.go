package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/docs/deploy"
	"github.com/spf13/cobra"
)

func newGenerateCommand() *cobra.Command {
	return newParentCommand("generate", "Print files that put a broker into service",
		newGenerateAlertsCommand(),
		newPrintCommand("compose", "Print a compose file of one broker", deploy.Compose),
		newPrintCommand("config", "Print a configuration file: every setting with its default, commented out", deploy.Config),
		newPrintCommand("dockerfile", "Print the Dockerfile of the image", deploy.Dockerfile),
		newGenerateGrafanaCommand(),
		newPrintCommand("kubernetes", "Print a stateful set of one broker, its service and its configuration", deploy.Kubernetes),
		newPrintCommand("systemd", "Print a hardened unit for systemd", deploy.Systemd),
	)
}

// newPrintCommand returns a command that writes content to stdout.
func newPrintCommand(name, short string, content []byte) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(content)
			return err
		},
	}
}

func newGenerateAlertsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "alerts",
		Short: "Print alert rules for Prometheus",
		Args:  noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			content, err := alertsFile()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(content)
			return err
		},
	}
}

func newGenerateGrafanaCommand() *cobra.Command {
	names := slices.Sorted(maps.Keys(dashboards))
	return &cobra.Command{
		Use:       "grafana " + strings.Join(names, "|"),
		Short:     "Print a dashboard for Grafana, to be imported or provisioned",
		Args:      exactlyOne("dashboard: " + strings.Join(names, " or ")),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			d := dashboards[args[0]]
			if d == nil {
				return usage.Errorf("generate grafana: %v", usage.Unknown("dashboard", args[0], names))
			}
			content, err := d.json()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(content)
			return err
		},
	}
}
