package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

type topicAlter struct {
	set   []string
	unset []string
	confirmation
}

func newTopicAlterCommand(c *connection) *cobra.Command {
	var options output.Options
	var alter topicAlter
	cmd := &cobra.Command{
		Use:               "alter TOPIC... (-c KEY=VALUE | --unset KEY)...",
		Short:             "Change the settings of topics",
		Long:              "Change the settings of topics. A change that lets records be deleted, such as a shorter retention,\nis confirmed first.",
		Example:           "  millrace topic alter clicks -c retention.ms=3600000 --unset segment.bytes",
		Args:              atLeastOne("TOPIC"),
		ValidArgsFunction: c.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := alter.changes()
			if err != nil {
				return err
			}
			names := unique(args)
			if err := alter.askAboutLosses(cmd, c, changes, names); err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				results, err := alter.run(ctx, client, changes, names)
				if err != nil {
					return err
				}
				return results.print(cmd, &options)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().StringArrayVarP(&alter.set, "config", "c", nil, "set a topic setting, KEY=VALUE (repeatable)")
	cmd.Flags().StringArrayVar(&alter.unset, "unset", nil, "return a topic setting to its default, KEY (repeatable)")
	alter.addFlags(cmd.Flags())
	return cmd
}

// changes returns what the flags ask for, sorted by key.
func (t *topicAlter) changes() ([]kadm.AlterConfig, error) {
	set, err := parseConfigs("-c", t.set)
	if err != nil {
		return nil, err
	}
	changes, err := configChanges("topic alter", set, t.unset)
	if err == nil && len(changes) == 0 {
		return nil, usage.Errorf("topic alter: nothing to change, use -c KEY=VALUE or --unset KEY")
	}
	return changes, err
}

// askAboutLosses lets a person decide on changes that delete records.
func (t *topicAlter) askAboutLosses(cmd *cobra.Command, c *connection, changes []kadm.AlterConfig, names []string) error {
	if t.dryRun || t.yes {
		return nil
	}
	var lost []string
	err := c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) (err error) {
		lost, err = losses(ctx, client, changes, names)
		return err
	})
	if err != nil || len(lost) == 0 {
		return err
	}
	return t.ask(cmd, "let records be deleted by a change of "+strings.Join(lost, ", "))
}

func (t *topicAlter) run(ctx context.Context, client *kadm.Client, changes []kadm.AlterConfig, names []string) (*itemResults, error) {
	_, missing, err := findTopics(ctx, client, names)
	if err != nil {
		return nil, err
	}
	existing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return missing[name] != nil })
	ask, done := client.AlterTopicConfigs, "altered"
	if t.dryRun {
		ask, done = client.ValidateAlterTopicConfigs, "would be altered"
	}
	var responses kadm.AlterConfigsResponses
	if len(existing) > 0 {
		if responses, err = ask(ctx, changes, existing...); err != nil {
			return nil, err
		}
	}
	results := &itemResults{kind: "topic"}
	for _, name := range names {
		if err := missing[name]; err != nil {
			results.add(name, "", err)
			continue
		}
		response, err := responses.On(name, nil)
		if err == nil {
			err = response.Err
		}
		if errors.Is(err, kerr.InvalidConfig) {
			response.ErrMessage += nearestConfig(ctx, client, name, changes, response.ErrMessage)
		}
		results.add(name, done, brokerError(err, response.ErrMessage))
	}
	return results, nil
}

// nearestConfig names the setting that an unknown one most probably meant, for brokers that do not
// say so themselves.
func nearestConfig(ctx context.Context, client *kadm.Client, topic string, changes []kadm.AlterConfig, message string) string {
	if strings.Contains(message, "did you mean") {
		return ""
	}
	described, err := client.DescribeTopicConfigs(ctx, topic)
	if err != nil || len(described) != 1 || described[0].Err != nil {
		return ""
	}
	var names []string
	for _, config := range described[0].Configs {
		names = append(names, config.Key)
	}
	for _, change := range changes {
		if !slices.Contains(names, change.Name) {
			return usage.Hint(change.Name, names)
		}
	}
	return ""
}
