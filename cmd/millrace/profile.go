package main

import (
	"github.com/millrace/millrace/cmd/millrace/internal/profiles"
	"github.com/spf13/cobra"
)

func newProfileCommand(c *connection) *cobra.Command {
	return newParentCommand("profile", "Keep the settings of connections under names",
		newProfileListCommand(),
		newProfileShowCommand(),
		newProfileCreateCommand(c),
		newProfileUseCommand(),
		newProfileDeleteCommand(),
	)
}

// completeProfiles completes positional arguments with the names of profiles.
func completeProfiles(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	store, err := profiles.Open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := store.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return without(names, args), cobra.ShellCompDirectiveNoFileComp
}
