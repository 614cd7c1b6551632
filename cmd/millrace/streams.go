package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/streams"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newStreamsCommand(c *connection) *cobra.Command {
	return newParentCommand("streams", "List, describe and reset stream applications",
		newStreamsListCommand(c),
		newStreamsDescribeCommand(c),
		newStreamsTopologyCommand(c),
		newStreamsLagCommand(c),
		newStreamsResetCommand(c),
	)
}

// streamsApp is an application as the cluster knows it: what it stored when it started, and its group.
type streamsApp struct {
	description streams.Description
	group       kadm.DescribedGroup // of state "Dead" if there is none
	committed   kadm.OffsetResponses
}

// withStreamsApp is the work of a command about the application that its argument names.
func withStreamsApp(c *connection, run func(ctx context.Context, client *kadm.Client, app *streamsApp, out io.Writer) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
			app, err := loadStreamsApp(ctx, c, client, args[0])
			if err != nil {
				return err
			}
			return run(ctx, client, app, cmd.OutOrStdout())
		})
	}
}

// loadStreamsApp reads what an application stored; it is an error that names others if it stored nothing.
func loadStreamsApp(ctx context.Context, c *connection, client *kadm.Client, name string) (*streamsApp, error) {
	app := &streamsApp{}
	var err error
	if app.description, err = readDescription(ctx, c, name); err != nil {
		if errors.Is(err, streams.ErrNoDescription) {
			return nil, unknownStreamsApp(ctx, client, name)
		}
		return nil, err
	}
	return app, app.loadGroup(ctx, client)
}

func readDescription(ctx context.Context, c *connection, name string) (streams.Description, error) {
	_, options, err := c.options()
	if err != nil {
		return streams.Description{}, err
	}
	return streams.ReadDescription(ctx, options, name)
}

func (a *streamsApp) loadGroup(ctx context.Context, client *kadm.Client) error {
	described, err := client.DescribeGroups(ctx, a.description.App)
	if err != nil {
		return err
	}
	a.group = described[a.description.App]
	if a.group.Err != nil && a.group.State == "" { // newer brokers say so of a group that does not exist
		a.group.State = "Dead"
		return nil
	}
	if a.committed, err = client.FetchOffsets(ctx, a.description.App); err != nil {
		return fmt.Errorf("offsets of group %q: %w", a.description.App, brokerError(err, ""))
	}
	return nil
}

// state is what the application does, by the state of its group.
func (a *streamsApp) state() string {
	switch a.group.State {
	case "Stable":
		return "running"
	case "PreparingRebalance", "CompletingRebalance":
		return "rebalancing"
	}
	return "stopped"
}

// topic is the name in Kafka of one of the application's topics.
func (a *streamsApp) topic(name string) string {
	topic, _ := a.description.Topic(name)
	return topic.Kafka
}

// streamsAppNames returns the applications that seem to have stored a description, by the names of topics.
func streamsAppNames(ctx context.Context, client *kadm.Client) (names []string, err error) {
	topics, err := client.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	suffix := streams.DescriptionTopic("")
	for _, topic := range topics.Sorted() {
		if name, ok := strings.CutSuffix(topic.Topic, suffix); ok && name != "" && len(topic.Partitions) == 1 {
			names = append(names, name)
		}
	}
	return names, nil
}

// unknownStreamsApp returns the error for an application that has stored nothing.
func unknownStreamsApp(ctx context.Context, client *kadm.Client, name string) error {
	existing, err := streamsAppNames(ctx, client)
	if err != nil {
		return fmt.Errorf("unknown application %q", name)
	}
	return fmt.Errorf("unknown application %q%s", name, usage.Hint(name, existing))
}

// completeStreamsApps completes positional arguments with the names of applications.
func (c *connection) completeStreamsApps() completer { return c.complete(streamsAppNames) }
