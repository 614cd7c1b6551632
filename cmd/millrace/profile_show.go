package main

import (
	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/profiles"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
)

// profileDescription is a profile without its secrets.
type profileDescription struct {
	Name     string                 `json:"name"`
	Settings []clientconfig.Setting `json:"settings"`
}

// Tables returns one row per setting.
func (d *profileDescription) Tables() []output.Table {
	table := output.Table{Title: "profile " + d.Name, Headers: []string{"SETTING", "VALUE", "SOURCE"}}
	for _, setting := range d.Settings {
		value := "(hidden)"
		if setting.Value != nil {
			value = *setting.Value
		}
		table.Rows = append(table.Rows, []string{setting.Name, value, setting.Source})
	}
	return []output.Table{table}
}

func newProfileShowCommand() *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:               "show [PROFILE]",
		Short:             "Show the settings of a profile, the one in use by default",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := profiles.Open()
			if err != nil {
				return err
			}
			var name string
			if len(args) > 0 {
				name = args[0]
			} else if name, err = store.Current(); err != nil {
				return err
			}
			if name == "" {
				return usage.Errorf("profile show: no profile is in use, name one")
			}
			var config clientconfig.Config
			if err := store.Read(name, &config); err != nil {
				return err
			}
			return options.Print(cmd.OutOrStdout(), &profileDescription{Name: name, Settings: config.Settings()})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}
