package main

import (
	"github.com/millrace/millrace/docs/deploy"
	"github.com/spf13/cobra"
)

func newGenerateCommand() *cobra.Command {
	return newParentCommand("generate", "Print files that put a broker into service",
		newPrintCommand("compose", "Print a compose file of one broker", deploy.Compose),
		newPrintCommand("config", "Print a configuration file: every setting with its default, commented out", deploy.Config),
		newPrintCommand("dockerfile", "Print the Dockerfile of the image", deploy.Dockerfile),
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
