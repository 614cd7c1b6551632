package main

import (
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/profiles"
	"github.com/spf13/cobra"
)

func newProfileDeleteCommand() *cobra.Command {
	var options output.Options
	var remove confirmation
	cmd := &cobra.Command{
		Use:               "delete PROFILE...",
		Aliases:           []string{"rm"},
		Short:             "Delete profiles",
		Args:              atLeastOne("PROFILE"),
		ValidArgsFunction: completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			names := unique(args)
			if err := remove.ask(cmd, "delete profile "+strings.Join(names, ", ")); err != nil {
				return err
			}
			store, err := profiles.Open()
			if err != nil {
				return err
			}
			results := &itemResults{kind: "profile"}
			for _, name := range names {
				if remove.dryRun {
					results.add(name, "would be deleted", store.Read(name, &clientconfig.Config{}))
					continue
				}
				results.add(name, "deleted", store.Delete(name))
			}
			return results.print(cmd, &options)
		},
	}
	options.AddFlags(cmd.Flags())
	remove.addFlags(cmd.Flags())
	return cmd
}
