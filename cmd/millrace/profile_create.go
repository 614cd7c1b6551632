package main

import (
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/profiles"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
)

func newProfileCreateCommand(c *connection) *cobra.Command {
	var options output.Options
	var use bool
	cmd := &cobra.Command{
		Use:   "create PROFILE [-b HOST[:PORT],...] [-X KEY=VALUE]... [-F FILE]",
		Short: "Store the connection that -b, -X and -F describe as a profile",
		Example: `  millrace profile create local -b localhost:9092 --use
  millrace profile create prod -F client.properties -X client.id=me`,
		Args: exactlyOne("PROFILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := c.given()
			if err != nil {
				return err
			}
			if len(config.Values()) == 0 {
				return usage.Errorf("profile create: nothing to store, use -b, -X or -F")
			}
			if _, err := config.Options(); err != nil {
				return err
			}
			store, err := profiles.Open()
			if err != nil {
				return err
			}
			if _, err := store.Path(args[0]); err != nil {
				return err
			}
			results := &itemResults{kind: "profile"}
			err = store.Create(args[0], config.Values())
			if err == nil && use {
				err = store.Use(args[0])
			}
			results.add(args[0], "created", err)
			return results.print(cmd, &options)
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&use, "use", false, "and use it from now on")
	return cmd
}

// given returns what the command line says about the connection, without profile and environment.
func (c *connection) given() (*clientconfig.Config, error) {
	config := &clientconfig.Config{}
	if err := c.addFile(config); err != nil {
		return nil, err
	}
	if err := c.addPairs(config); err != nil {
		return nil, err
	}
	if len(c.brokers) > 0 {
		if _, err := c.addresses(config); err != nil {
			return nil, err
		}
		if err := config.Set("bootstrap.servers", strings.Join(c.brokers, ","), "-b"); err != nil {
			return nil, err
		}
	}
	return config, nil
}
