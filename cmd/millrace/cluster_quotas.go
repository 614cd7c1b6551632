package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newClusterQuotasCommand(c *connection) *cobra.Command {
	return newParentCommand("quotas", "Show and change the quotas of clients",
		newClusterQuotasListCommand(c),
		newClusterQuotasDescribeCommand(c),
		newClusterQuotasSetCommand(c),
		newClusterQuotasDeleteCommand(c),
	)
}

// quotaTypes are the types of entities, in the order in which they are shown.
var quotaTypes = []string{"user", "client-id", "ip"}

// quotaEntity are the flags that say whose quotas a command is about.
type quotaEntity struct {
	names    []string // TYPE=NAME
	defaults []string // TYPE
}

func (e *quotaEntity) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&e.names, "name", nil, "whom the quota is for, user=NAME, client-id=NAME or ip=ADDRESS (repeatable)")
	flags.StringArrayVar(&e.defaults, "default", nil, "for all that have no quota of their own: user, client-id or ip (repeatable)")
}

// parts returns the entity's parts by type; nil stands for the default.
func (e *quotaEntity) parts() (map[string]*string, error) {
	parts := map[string]*string{}
	add := func(kind string, name *string) error {
		if !slices.Contains(quotaTypes, kind) {
			return usage.Unknown("type", kind, quotaTypes)
		}
		if _, twice := parts[kind]; twice {
			return usage.Errorf("%s is named twice", kind)
		}
		parts[kind] = name
		return nil
	}
	for _, text := range e.names {
		kind, name, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, usage.Errorf("--name: %q is not TYPE=NAME, like client-id=app", text)
		}
		if err := add(kind, &name); err != nil {
			return nil, err
		}
	}
	for _, kind := range e.defaults {
		if err := add(kind, nil); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// required is parts of which there must be one at least.
func (e *quotaEntity) required(cmd *cobra.Command) (map[string]*string, error) {
	parts, err := e.parts()
	if err == nil && len(parts) == 0 {
		err = usage.Errorf("%s: say whose quotas, with --name TYPE=NAME or --default TYPE", commandName(cmd))
	}
	return parts, err
}

// quotaComponents returns what the broker is asked for.
func quotaComponents(parts map[string]*string) []kadm.DescribeClientQuotaComponent {
	var components []kadm.DescribeClientQuotaComponent
	for kind, name := range parts {
		component := kadm.DescribeClientQuotaComponent{Type: kind, MatchName: name, MatchType: kmsg.QuotasMatchTypeExact}
		if name == nil {
			component.MatchType = kmsg.QuotasMatchTypeDefault
		}
		components = append(components, component)
	}
	return components
}

// quotaLine is how an entity is shown.
func quotaLine(parts map[string]*string) string {
	var texts []string
	for _, kind := range quotaTypes {
		if name, there := parts[kind]; there && name != nil {
			texts = append(texts, kind+"="+*name)
		} else if there {
			texts = append(texts, "default "+kind)
		}
	}
	return strings.Join(texts, ", ")
}

// clientQuotas are the quotas of one entity.
type clientQuotas struct {
	Entity map[string]*string `json:"entity"` // names by type, null is the default
	Quotas map[string]float64 `json:"quotas"`
}

type quotaListing struct {
	Entities []clientQuotas `json:"entities"`
}

// Tables returns one row per quota.
func (l *quotaListing) Tables() []output.Table {
	table := output.Table{Headers: []string{"ENTITY", "QUOTA", "VALUE"}}
	for _, e := range l.Entities {
		for _, key := range slices.Sorted(maps.Keys(e.Quotas)) {
			table.Rows = append(table.Rows, []string{quotaLine(e.Entity), key, strconv.FormatFloat(e.Quotas[key], 'f', -1, 64)})
		}
	}
	return []output.Table{table}
}

// listQuotas asks for the quotas of the entities that have these parts, and with strict no others.
func listQuotas(ctx context.Context, client *kadm.Client, strict bool, parts map[string]*string) (*quotaListing, error) {
	described, err := client.DescribeClientQuotas(ctx, strict, quotaComponents(parts))
	if err != nil {
		var said *kadm.ErrAndMessage
		if errors.As(err, &said) {
			err = brokerError(said.Err, said.ErrMessage)
		}
		return nil, err
	}
	listing := &quotaListing{Entities: []clientQuotas{}}
	for _, d := range described {
		e := clientQuotas{Entity: map[string]*string{}, Quotas: map[string]float64{}}
		for _, part := range d.Entity {
			e.Entity[part.Type] = part.Name
		}
		for _, value := range d.Values {
			e.Quotas[value.Key] = value.Value
		}
		listing.Entities = append(listing.Entities, e)
	}
	slices.SortFunc(listing.Entities, func(a, b clientQuotas) int { return strings.Compare(quotaLine(a.Entity), quotaLine(b.Entity)) })
	return listing, nil
}

func newClusterQuotasListCommand(c *connection) *cobra.Command {
	var options output.Options
	var entity quotaEntity
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the quotas that were set, of all or of those named",
		Example: "  millrace cluster quotas list --name user=etl",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parts, err := entity.parts()
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				listing, err := listQuotas(ctx, client, false, parts)
				if err != nil {
					return err
				}
				return options.Print(cmd.OutOrStdout(), listing)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	entity.addFlags(cmd.Flags())
	return cmd
}

func newClusterQuotasDescribeCommand(c *connection) *cobra.Command {
	var options output.Options
	var entity quotaEntity
	cmd := &cobra.Command{
		Use:     "describe (--name TYPE=NAME | --default TYPE)...",
		Short:   "Show the quotas of exactly one entity",
		Example: "  millrace cluster quotas describe --name user=etl --default client-id",
		Args:    noArgument,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parts, err := entity.required(cmd)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				listing, err := listQuotas(ctx, client, true, parts)
				if err != nil {
					return err
				}
				if len(listing.Entities) == 0 {
					return errors.New("no quotas are set for " + quotaLine(parts))
				}
				return options.Print(cmd.OutOrStdout(), listing)
			})
		},
	}
	options.AddFlags(cmd.Flags())
	entity.addFlags(cmd.Flags())
	return cmd
}
