package main

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// groupDescription is everything about one group.
type groupDescription struct {
	Name         string           `json:"name"`
	State        string           `json:"state"`
	ProtocolType string           `json:"protocol_type"`
	Protocol     string           `json:"protocol"`
	Coordinator  int32            `json:"coordinator"`
	TotalLag     int64            `json:"total_lag"`
	Members      []groupMember    `json:"members"`
	Partitions   []groupPartition `json:"partitions"`
}

type groupMember struct {
	ID         string  `json:"id"`
	InstanceID *string `json:"instance_id"`
	ClientID   string  `json:"client_id"`
	Host       string  `json:"host"`
	Partitions int     `json:"partitions"`
}

// groupPartition has null for what does not exist: no commit yet, no member, an offset the broker
// did not give.
type groupPartition struct {
	Topic           string  `json:"topic"`
	Partition       int32   `json:"partition"`
	CommittedOffset *int64  `json:"committed_offset"`
	LogStartOffset  *int64  `json:"log_start_offset"`
	LogEndOffset    *int64  `json:"log_end_offset"`
	Lag             *int64  `json:"lag"`
	Member          *string `json:"member"`
	Error           *string `json:"error"`
}

type groupDescriptions struct {
	Groups []groupDescription `json:"groups"`
}

// Tables returns, per group, its members and its partitions.
func (d *groupDescriptions) Tables() []output.Table {
	var tables []output.Table
	for _, group := range d.Groups {
		members := output.Table{
			Title: fmt.Sprintf("group %s  state %s  assignor %s  coordinator %d  lag %d",
				group.Name, group.State, orDash(group.Protocol), group.Coordinator, group.TotalLag),
			Headers: []string{"MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"},
		}
		for _, m := range group.Members {
			members.Rows = append(members.Rows, []string{m.ID, text(m.InstanceID), m.ClientID, m.Host, number(m.Partitions)})
		}
		partitions := output.Table{Headers: []string{"TOPIC", "PARTITION", "COMMITTED", "LOG-START", "LOG-END", "LAG", "MEMBER", "ERROR"}}
		for _, p := range group.Partitions {
			partitions.Rows = append(partitions.Rows, []string{
				p.Topic, number(p.Partition), optional(p.CommittedOffset), optional(p.LogStartOffset),
				optional(p.LogEndOffset), optional(p.Lag), text(p.Member), text(p.Error),
			})
		}
		if len(members.Rows) == 0 {
			members.Headers = []string{"no members"}
		}
		tables = append(tables, members, partitions)
	}
	return tables
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newGroupDescribeCommand(c *connection) *cobra.Command {
	var options output.Options
	cmd := &cobra.Command{
		Use:               "describe GROUP...",
		Short:             "Show the members, offsets and lag of groups",
		Args:              atLeastOne("GROUP"),
		ValidArgsFunction: c.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				names := unique(args)
				lags, err := client.Lag(ctx, names...)
				if err != nil {
					return err
				}
				described := &groupDescriptions{Groups: []groupDescription{}}
				missing := map[string]error{}
				for _, name := range names {
					lag := lags[name]
					switch exists, err := describable(ctx, client, name, lag); {
					case err != nil:
						missing[name] = fmt.Errorf("group %q: %w", name, err)
					case !exists:
						missing[name] = unknownGroup(ctx, client, name)
					default:
						described.Groups = append(described.Groups, describeGroup(lag))
					}
				}
				if err := options.Print(cmd.OutOrStdout(), described); err != nil {
					return err
				}
				return reportMissing(cmd, names, missing)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	return cmd
}

// describable reports whether a group exists; Kafka describes one that does not as dead.
func describable(ctx context.Context, client *kadm.Client, name string, lag kadm.DescribedGroupLag) (bool, error) {
	if lag.State == "Dead" || lag.State == "" {
		exists, err := groupExists(ctx, client, name)
		if !exists || err != nil {
			return exists, err
		}
	}
	return true, brokerError(lag.Error(), "")
}

func describeGroup(lag kadm.DescribedGroupLag) groupDescription {
	group := groupDescription{
		Name: lag.Group, State: lag.State, ProtocolType: lag.ProtocolType, Protocol: lag.Protocol,
		Coordinator: lag.Coordinator.NodeID, TotalLag: lag.Lag.Total(), Members: []groupMember{}, Partitions: []groupPartition{},
	}
	for _, member := range lag.Members {
		described := groupMember{ID: member.MemberID, InstanceID: member.InstanceID, ClientID: member.ClientID, Host: member.ClientHost}
		if assigned, ok := member.Assigned.AsConsumer(); ok {
			for _, topic := range assigned.Topics {
				described.Partitions += len(topic.Partitions)
			}
		}
		group.Members = append(group.Members, described)
	}
	for _, p := range lag.Lag.Sorted() {
		group.Partitions = append(group.Partitions, describeGroupPartition(p))
	}
	return group
}

func describeGroupPartition(p kadm.GroupMemberLag) groupPartition {
	described := groupPartition{Topic: p.Topic, Partition: p.Partition}
	if p.Commit.At >= 0 && p.Commit.Topic != "" {
		described.CommittedOffset = &p.Commit.At
	}
	if p.Start.Err == nil {
		described.LogStartOffset = &p.Start.Offset
	}
	if p.End.Err == nil {
		described.LogEndOffset = &p.End.Offset
	}
	if p.Err == nil {
		described.Lag = &p.Lag
	} else {
		message := oneLine(brokerError(p.Err, ""))
		described.Error = &message
	}
	if p.Member != nil {
		described.Member = &p.Member.MemberID
	}
	return described
}
