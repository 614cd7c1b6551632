package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newClusterConfigCommand(c *connection) *cobra.Command {
	return newParentCommand("config", "Show and change the settings of brokers",
		newClusterConfigDescribeCommand(c),
		newClusterConfigGetCommand(c),
		newClusterConfigSetCommand(c),
	)
}

// brokerSetting is a broker's setting, and where its value comes from.
type brokerSetting struct {
	Name       string  `json:"name"`
	Value      *string `json:"value"` // null: none, or a secret
	Source     string  `json:"source"`
	SetBy      string  `json:"set_by,omitempty"` // a line of a file, a variable or a flag
	Changeable bool    `json:"changeable"`       // while the broker runs
	Sensitive  bool    `json:"sensitive"`
}

type brokerSettings struct {
	Broker   int32           `json:"broker"`
	Settings []brokerSetting `json:"settings"`
}

// Tables returns one row per setting.
func (s *brokerSettings) Tables() []output.Table {
	table := output.Table{Headers: []string{"SETTING", "VALUE", "SOURCE", "SET BY", "CHANGEABLE"}}
	for _, setting := range s.Settings {
		value := text(setting.Value)
		if setting.Sensitive {
			value = "(sensitive)"
		}
		table.Rows = append(table.Rows, []string{setting.Name, value, setting.Source, setting.SetBy, strconv.FormatBool(setting.Changeable)})
	}
	return []output.Table{table}
}

const firstBroker = -1 // of the flag --broker

func newClusterConfigDescribeCommand(c *connection) *cobra.Command {
	var options output.Options
	var broker int32
	var diff bool
	cmd := &cobra.Command{
		Use:   "describe [SETTING...]",
		Short: "Show the settings of a broker, their values and where they come from",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.bounded(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				described, err := describeBroker(ctx, client, broker, args)
				if err != nil {
					return err
				}
				if diff {
					described.Settings = slices.DeleteFunc(described.Settings, func(s brokerSetting) bool { return s.Source == "default" })
				}
				return options.Print(cmd.OutOrStdout(), described)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().Int32Var(&broker, "broker", firstBroker, "id of the broker, -1 for the first one")
	cmd.Flags().BoolVar(&diff, "diff", false, "only settings that are not at their defaults")
	return cmd
}

func newClusterConfigGetCommand(c *connection) *cobra.Command {
	var options output.Options
	var broker int32
	cmd := &cobra.Command{
		Use:   "get SETTING",
		Short: "Print the value of a broker's setting",
		Args:  exactlyOne("SETTING"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.bounded(cmd.Context(), func(ctx context.Context, client *kgo.Client) error {
				described, err := describeBroker(ctx, client, broker, args)
				if err != nil {
					return err
				}
				if options.Text() { // the value alone, for a script
					_, err = fmt.Fprintln(cmd.OutOrStdout(), text(described.Settings[0].Value))
					return err
				}
				return options.Print(cmd.OutOrStdout(), described)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	cmd.Flags().Int32Var(&broker, "broker", firstBroker, "id of the broker, -1 for the first one")
	return cmd
}

// describeBroker returns the settings of a broker with these names, or all, sorted. A name that it does not have is an
// error that names the nearest.
func describeBroker(ctx context.Context, client *kgo.Client, broker int32, names []string) (*brokerSettings, error) {
	if broker == firstBroker {
		metadata, err := kadm.NewClient(client).BrokerMetadata(ctx)
		if err != nil {
			return nil, err
		}
		if len(metadata.Brokers) == 0 {
			return nil, fmt.Errorf("the cluster tells of no broker")
		}
		broker = slices.Min(metadata.Brokers.NodeIDs())
	}
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.IncludeDocumentation = true
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeBroker, number(broker)
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("settings of broker %d: %w", broker, err)
	}
	described := &brokerSettings{Broker: broker, Settings: []brokerSetting{}}
	for _, answer := range response.Resources {
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			return nil, fmt.Errorf("settings of broker %d: %w", broker, brokerError(err, text(answer.ErrorMessage)))
		}
		for _, config := range answer.Configs {
			described.Settings = append(described.Settings, settingOf(config))
		}
	}
	slices.SortFunc(described.Settings, func(a, b brokerSetting) int { return strings.Compare(a.Name, b.Name) })
	return described, described.keep(names)
}

// keep drops all settings but those with the names; no names keep all.
func (s *brokerSettings) keep(names []string) error {
	var known []string
	for _, setting := range s.Settings {
		known = append(known, setting.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return usage.Unknown("setting", name, known)
		}
	}
	if len(names) > 0 {
		s.Settings = slices.DeleteFunc(s.Settings, func(setting brokerSetting) bool { return !slices.Contains(names, setting.Name) })
	}
	return nil
}

// setByMark is what comes between the documentation of a setting and where it was set, in answers of millrace.
const setByMark = "\nSet by: "

func settingOf(config kmsg.DescribeConfigsResponseResourceConfig) brokerSetting {
	_, setBy, _ := strings.Cut(text(config.Documentation), setByMark)
	source := map[kmsg.ConfigSource]string{
		kmsg.ConfigSourceDynamicBrokerConfig: "run time, this broker", kmsg.ConfigSourceDynamicDefaultBrokerConfig: "run time, all brokers",
		kmsg.ConfigSourceStaticBrokerConfig: "start", kmsg.ConfigSourceDefaultConfig: "default",
	}[config.Source]
	if source == "" {
		source = strings.ToLower(config.Source.String())
	}
	return brokerSetting{
		Name: config.Name, Value: config.Value, Source: source, SetBy: setBy, Changeable: !config.ReadOnly, Sensitive: config.IsSensitive,
	}
}

// clusterConfigSet is what `cluster config set` was asked for.
type clusterConfigSet struct {
	unset  []string
	broker int32
	dryRun bool
}

func newClusterConfigSetCommand(c *connection) *cobra.Command {
	var options output.Options
	var set clusterConfigSet
	cmd := &cobra.Command{
		Use:     "set [KEY=VALUE...] [--unset KEY]...",
		Short:   "Change settings of all brokers while they run, or of one with --broker",
		Example: "  millrace cluster config set log.retention.ms=3600000 --unset log.segment.bytes",
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := set.changes(args)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				results := &itemResults{kind: "broker"}
				name, done := "all", "altered"
				var brokers []int32
				if set.broker != firstBroker {
					name, brokers = number(set.broker), []int32{set.broker}
				}
				ask := client.AlterBrokerConfigs
				if set.dryRun {
					ask, done = client.ValidateAlterBrokerConfigs, "would be altered"
				}
				responses, err := ask(ctx, changes, brokers...)
				var failed *kadm.ShardErrors
				if errors.As(err, &failed) && len(failed.Errs) > 0 {
					return fmt.Errorf("settings of broker %s: %w", name, failed.Errs[0].Err)
				}
				if err != nil {
					return err
				}
				for _, response := range responses {
					results.add(name, done, brokerError(response.Err, response.ErrMessage))
				}
				return results.print(cmd, &options)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	f := cmd.Flags()
	f.StringArrayVar(&set.unset, "unset", nil, "return a setting to what the broker was started with, KEY (repeatable)")
	f.Int32Var(&set.broker, "broker", firstBroker, "id of the only broker to change, -1 for all")
	f.BoolVar(&set.dryRun, "dry-run", false, "check the request, change nothing")
	return cmd
}

// changes returns what the arguments and flags ask for, sorted by key.
func (s *clusterConfigSet) changes(pairs []string) ([]kadm.AlterConfig, error) {
	set, err := parseConfigs("cluster config set", pairs)
	if err != nil {
		return nil, err
	}
	changes, err := configChanges("cluster config set", set, s.unset)
	if err == nil && len(changes) == 0 {
		return nil, usage.Errorf("cluster config set: nothing to change, use KEY=VALUE or --unset KEY")
	}
	return changes, err
}
