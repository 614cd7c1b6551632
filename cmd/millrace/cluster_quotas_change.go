package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newClusterQuotasSetCommand(c *connection) *cobra.Command {
	var options output.Options
	var entity quotaEntity
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "set QUOTA=VALUE... (--name TYPE=NAME | --default TYPE)...",
		Short: "Set quotas of an entity and leave its others",
		Long: `Set quotas of an entity and leave its others.

The quotas of users and client ids are producer_byte_rate and consumer_byte_rate in bytes per second,
request_percentage in percent of one processor, and controller_mutation_rate in partitions created and
deleted per second; that of an ip is connection_creation_rate in connections per second.`,
		Example: "  millrace cluster quotas set producer_byte_rate=1048576 --name client-id=app",
		Args:    atLeastOne("QUOTA=VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			parts, err := entity.required(cmd)
			if err != nil {
				return err
			}
			ops, err := quotaOps(args)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				return changeQuotas(ctx, cmd, client, &options, quotaChange{parts, ops, dryRun, "set"})
			})
		},
	}
	options.AddFlags(cmd.Flags())
	entity.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check the request, change nothing")
	return cmd
}

// quotaOps reads QUOTA=VALUE arguments.
func quotaOps(args []string) ([]kadm.AlterClientQuotaOp, error) {
	var ops []kadm.AlterClientQuotaOp
	for _, arg := range args {
		key, text, found := strings.Cut(arg, "=")
		value, err := strconv.ParseFloat(text, 64)
		if !found || err != nil {
			return nil, usage.Errorf("cluster quotas set: %q is not QUOTA=VALUE with a number", arg)
		}
		ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Value: value})
	}
	return ops, nil
}

func newClusterQuotasDeleteCommand(c *connection) *cobra.Command {
	var options output.Options
	var entity quotaEntity
	var confirmation confirmation
	cmd := &cobra.Command{
		Use:     "delete [QUOTA...] (--name TYPE=NAME | --default TYPE)...",
		Aliases: []string{"rm"},
		Short:   "Remove quotas of an entity, all of them unless some are named",
		Example: "  millrace cluster quotas delete producer_byte_rate --name client-id=app",
		RunE: func(cmd *cobra.Command, args []string) error {
			parts, err := entity.required(cmd)
			if err != nil {
				return err
			}
			action := "remove the quotas of " + quotaLine(parts)
			if err := confirmation.ask(cmd, action); err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, client *kadm.Client) error {
				ops, err := quotaRemovals(ctx, client, parts, unique(args))
				if err != nil {
					return err
				}
				return changeQuotas(ctx, cmd, client, &options, quotaChange{parts, ops, confirmation.dryRun, "removed"})
			})
		},
	}
	options.AddFlags(cmd.Flags())
	entity.addFlags(cmd.Flags())
	confirmation.addFlags(cmd.Flags())
	return cmd
}

// quotaRemovals returns what removes the quotas with these keys, all if there are none. Each must have been set.
func quotaRemovals(ctx context.Context, client *kadm.Client, parts map[string]*string, keys []string) ([]kadm.AlterClientQuotaOp, error) {
	listing, err := listQuotas(ctx, client, true, parts)
	if err != nil {
		return nil, err
	}
	if len(listing.Entities) == 0 {
		return nil, errors.New("no quotas are set for " + quotaLine(parts))
	}
	set := slices.Sorted(maps.Keys(listing.Entities[0].Quotas))
	if len(keys) == 0 {
		keys = set
	}
	var ops []kadm.AlterClientQuotaOp
	for _, key := range keys {
		if !slices.Contains(set, key) {
			return nil, fmt.Errorf("%s is not set for %s%s", key, quotaLine(parts), usage.Hint(key, set))
		}
		ops = append(ops, kadm.AlterClientQuotaOp{Key: key, Remove: true})
	}
	return ops, nil
}

// quotaChange is what is to become of one entity's quotas.
type quotaChange struct {
	parts  map[string]*string
	ops    []kadm.AlterClientQuotaOp
	dryRun bool
	done   string // how the result is called
}

// changeQuotas makes a change, all of it or nothing, and prints a row for each quota.
func changeQuotas(ctx context.Context, cmd *cobra.Command, client *kadm.Client, options *output.Options, change quotaChange) error {
	ask, status := client.AlterClientQuotas, change.done
	if change.dryRun {
		ask, status = client.ValidateAlterClientQuotas, "would be "+change.done
	}
	entry := kadm.AlterClientQuotaEntry{Ops: change.ops}
	for kind, name := range change.parts {
		entry.Entity = append(entry.Entity, kadm.ClientQuotaEntityComponent{Type: kind, Name: name})
	}
	altered, err := ask(ctx, []kadm.AlterClientQuotaEntry{entry})
	if err != nil {
		return err
	}
	if len(altered) != 1 {
		return fmt.Errorf("the broker answered about %d entities, expected 1", len(altered))
	}
	if err := brokerError(altered[0].Err, altered[0].ErrMessage); err != nil {
		return fmt.Errorf("quotas of %s: %w", quotaLine(change.parts), err)
	}
	results := &itemResults{kind: "quota"}
	for _, op := range change.ops {
		results.add(op.Key, status, nil)
	}
	return results.print(cmd, options)
}
