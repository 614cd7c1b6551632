package main

import (
	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/profiles"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
)

func newProfileUseCommand() *cobra.Command {
	var options output.Options
	var none bool
	cmd := &cobra.Command{
		Use:               "use (PROFILE | --none)",
		Short:             "Choose the profile for commands that name none",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if none == (len(args) == 1) {
				return usage.Errorf("profile use: needs one PROFILE, or --none")
			}
			store, err := profiles.Open()
			if err != nil {
				return err
			}
			results := &itemResults{kind: "profile"}
			if none {
				results.add("", "none in use", store.Use(""))
				return results.print(cmd, &options)
			}
			if err := store.Use(args[0]); err != nil {
				return err
			}
			results.add(args[0], "in use", nil)
			return results.print(cmd, &options)
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&none, "none", false, "use no profile")
	return cmd
}
