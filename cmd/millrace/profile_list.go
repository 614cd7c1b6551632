package main

import (
	"errors"
	"strconv"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/profiles"
	"github.com/spf13/cobra"
)

// profileSummary is a profile in a list. Current is the one that `profile use` chose.
type profileSummary struct {
	Name     string `json:"name"`
	Current  bool   `json:"current"`
	Brokers  string `json:"brokers"`
	Security string `json:"security_protocol"`
}

type profileList struct {
	Profiles []profileSummary `json:"profiles"`
}

// Tables returns one row per profile.
func (l *profileList) Tables() []output.Table {
	table := output.Table{Headers: []string{"PROFILE", "CURRENT", "BROKERS", "SECURITY"}}
	for _, p := range l.Profiles {
		table.Rows = append(table.Rows, []string{p.Name, strconv.FormatBool(p.Current), p.Brokers, p.Security})
	}
	return []output.Table{table}
}

func newProfileListCommand() *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List profiles",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := profiles.Open()
			if err != nil {
				return err
			}
			names, err := store.Names()
			if err != nil {
				return err
			}
			current, err := store.Current()
			if err != nil {
				return err
			}
			list := &profileList{Profiles: []profileSummary{}}
			var broken []error
			for _, name := range names {
				var config clientconfig.Config
				if err := store.Read(name, &config); err != nil {
					broken = append(broken, err)
				}
				summary := profileSummary{Name: name, Current: name == current, Security: config.Values()["security.protocol"]}
				summary.Brokers, _ = config.Brokers()
				list.Profiles = append(list.Profiles, summary)
			}
			return errors.Join(options.Print(cmd.OutOrStdout(), list), errors.Join(broken...))
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}
