package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/streams"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// streamsDescription is everything about one application but its nodes.
type streamsDescription struct {
	Name          string                     `json:"name"`
	State         string                     `json:"state"`
	Fingerprint   string                     `json:"fingerprint"`
	Subtopologies []streamsSubtopology       `json:"subtopologies"`
	Topics        []streams.TopicDescription `json:"topics"`
	Stores        []streams.StoreDescription `json:"stores"`
	Members       []streamsMember            `json:"members"`
	Tasks         []streamsTask              `json:"tasks"`
}

type streamsSubtopology struct {
	Name    string   `json:"name"`
	Tasks   int      `json:"tasks"`
	Sources []string `json:"sources"`
	Sinks   []string `json:"sinks"`
	Stores  []string `json:"stores"`
}

type streamsMember struct {
	ID         string  `json:"id"`
	InstanceID *string `json:"instance_id"`
	ClientID   string  `json:"client_id"`
	Host       string  `json:"host"`
	Tasks      int     `json:"tasks"`
}

// Tables returns sub-topologies, topics, stores, members and tasks.
func (d *streamsDescription) Tables() []output.Table {
	parts := output.Table{
		Title: fmt.Sprintf("application %s  state %s  members %d  tasks %d  lag %d  fingerprint %s",
			d.Name, d.State, len(d.Members), len(d.Tasks), totalLag(d.Tasks), d.Fingerprint),
		Headers: []string{"SUB-TOPOLOGY", "TASKS", "SOURCES", "SINKS", "STORES"},
	}
	for _, s := range d.Subtopologies {
		parts.Rows = append(parts.Rows, []string{s.Name, number(s.Tasks), list(s.Sources), list(s.Sinks), list(s.Stores)})
	}
	topics := output.Table{Headers: []string{"TOPIC", "PARTITIONS", "KEY", "VALUE", "IN-KAFKA"}}
	for _, t := range d.Topics {
		topics.Rows = append(topics.Rows, []string{t.Name, countOrDash(t.Partitions), t.Key, t.Value, t.Kafka})
	}
	tables := []output.Table{parts, topics}
	if len(d.Stores) > 0 {
		stores := output.Table{Headers: []string{"STORE", "KIND", "KEY", "VALUE", "WINDOWS", "CHANGELOG"}}
		for _, s := range d.Stores {
			stores.Rows = append(stores.Rows, []string{s.Name, s.Kind, s.Key, s.Value, orDash(s.Windows), s.Changelog})
		}
		tables = append(tables, stores)
	}
	members := output.Table{Headers: []string{"MEMBER", "INSTANCE", "CLIENT", "HOST", "TASKS"}}
	for _, m := range d.Members {
		members.Rows = append(members.Rows, []string{m.ID, text(m.InstanceID), m.ClientID, m.Host, number(m.Tasks)})
	}
	if len(members.Rows) == 0 {
		members.Headers = []string{"no members"}
	}
	tasks := output.Table{Headers: []string{"TASK", "LAG", "MEMBER"}}
	for _, t := range d.Tasks {
		tasks.Rows = append(tasks.Rows, []string{t.name(), number(t.Lag), text(t.Member)})
	}
	return append(tables, members, tasks)
}

// list is names as a cell of a table.
func list(names []string) string { return orDash(strings.Join(names, ",")) }

// countOrDash is a count of which 0 means that it is not known.
func countOrDash(n int) string {
	if n == 0 {
		return "-"
	}
	return number(n)
}

func newStreamsDescribeCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:               "describe APPLICATION",
		Short:             "Show the parts, stores, members and tasks of an application",
		Args:              exactlyOne("APPLICATION"),
		ValidArgsFunction: c.completeStreamsApps(),
		RunE: withStreamsApp(c, func(ctx context.Context, client *kadm.Client, app *streamsApp, out io.Writer) error {
			tasks, err := app.tasks(ctx, client)
			if err != nil {
				return err
			}
			return options.Print(out, app.describe(tasks))
		}),
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

func (a *streamsApp) describe(tasks []streamsTask) *streamsDescription {
	d := &streamsDescription{
		Name: a.description.App, State: a.state(), Fingerprint: a.description.Fingerprint,
		Subtopologies: []streamsSubtopology{}, Topics: a.description.Topics, Stores: []streams.StoreDescription{},
		Members: []streamsMember{}, Tasks: tasks,
	}
	d.Stores = append(d.Stores, a.description.Stores...)
	for _, s := range a.description.Subtopologies {
		d.Subtopologies = append(d.Subtopologies, streamsSubtopology{Name: s.Name, Tasks: s.Tasks, Sources: s.Sources, Sinks: s.Sinks, Stores: s.Stores})
	}
	counts := taskCounts(tasks)
	for _, m := range a.sortedMembers() {
		d.Members = append(d.Members, streamsMember{ID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost, Tasks: counts[m.MemberID]})
	}
	return d
}
