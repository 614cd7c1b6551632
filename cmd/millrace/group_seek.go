package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/output"
	"github.com/millrace/millrace/cmd/millrace/internal/usage"
	"github.com/millrace/millrace/cmd/millrace/internal/whence"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type groupSeek struct {
	to      string
	toGroup string
	toFile  string
	topics  []string
	create  bool
	force   bool
	groupMove
}

func newGroupSeekCommand(c *connection) *cobra.Command {
	var options output.Options
	var seek groupSeek
	cmd := &cobra.Command{
		Use:   "seek GROUP (--to OFFSET | --to-group GROUP | --to-file FILE)",
		Short: "Change where a group goes on",
		Long: `Change the offsets of a group that has no members, after a look at the plan.

--to says where it goes on in each partition:
  start  end  N     there
  +N  -N            that many further or back from where it is, within what the partition holds
  @TIME             at the first record of that time or later: @-1h, @2006-01-02T15:04:05Z, @now

Without --topic it is about the partitions that the group has offsets of. The offsets as they were
are always written to a file that group import takes back.`,
		Example: `  millrace group seek billing --to @-1h
  millrace group seek billing --to -100 --topic orders:0,2 --dry-run
  millrace group seek billing-v2 --to-group billing --create --yes`,
		Args:              exactlyOne("GROUP"),
		ValidArgsFunction: c.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := seek.planner(cmd, time.Now())
			if err != nil {
				return err
			}
			return seek.run(cmd, c, &options, args[0], plan)
		},
	}
	options.AddFlags(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&seek.to, "to", "", "start, end, N, +N, -N or @TIME")
	f.StringVar(&seek.toGroup, "to-group", "", "where this other group is")
	f.StringVar(&seek.toFile, "to-file", "", "where a file of group export or seek says")
	f.StringArrayVar(&seek.topics, "topic", nil, "only this topic, or these partitions of it: TOPIC[:0,3,5-7] (repeatable)")
	f.BoolVar(&seek.create, "create", false, "the group need not exist")
	f.BoolVar(&seek.force, "force", false, "take a --to-file of another cluster")
	seek.addFlags(f)
	return cmd
}

// exactlyOne requires one positional argument; what names it ("GROUP").
func exactlyOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("needs one %s", what)
		}
		return noEmpty(what, args)
	}
}

// planner reads the flags.
func (s *groupSeek) planner(cmd *cobra.Command, now time.Time) (planner, error) {
	chosen, err := parseSelection("--topic", s.topics)
	if err != nil {
		return nil, err
	}
	given := 0
	for _, flag := range []string{s.to, s.toGroup, s.toFile} {
		if flag != "" {
			given++
		}
	}
	if given != 1 {
		return nil, usage.Errorf("group seek: needs one of --to, --to-group and --to-file")
	}
	var plan planner
	switch {
	case s.toFile != "":
		file, err := readOffsetsFile(s.toFile, cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		plan = file.planner(s.toFile, chosen, s.force)
	case s.toGroup != "":
		plan = planFromGroup(s.toGroup, chosen)
	default:
		to, err := whence.ParseBound("--to", s.to, now)
		if err != nil {
			return nil, err
		}
		plan = planBound(to, chosen)
	}
	return func(ctx context.Context, client *kadm.Client, state *groupState) ([]offsetMove, error) {
		if !state.exists && !s.create {
			return nil, fmt.Errorf("%w; --create makes it", unknownGroup(ctx, client, state.group))
		}
		return plan(ctx, client, state)
	}, nil
}

// selection are topics with their partitions, nil for all of a topic. A nil selection is everything.
type selection map[string][]int32

// parseSelection reads TOPIC[:PARTITIONS] given as source, a flag or a command.
func parseSelection(source string, items []string) (selection, error) {
	var chosen selection
	for _, item := range items {
		topic, list, found := strings.Cut(item, ":")
		if topic == "" {
			return nil, usage.Errorf("%s: %q is not TOPIC[:PARTITIONS]", source, item)
		}
		if chosen == nil {
			chosen = selection{}
		}
		if _, twice := chosen[topic]; twice {
			return nil, usage.Errorf("%s: %s is there twice, write all its partitions into one", source, topic)
		}
		chosen[topic] = nil
		if found {
			partitions, err := whence.ParsePartitions(list)
			if err != nil {
				return nil, usage.Errorf("%s: %q is not TOPIC[:PARTITIONS], like %s:0,3,5-7", source, item, topic)
			}
			chosen[topic] = partitions
		}
	}
	return chosen, nil
}

func (s selection) has(key partitionKey) bool {
	partitions, ok := s[key.topic]
	return s == nil || ok && (partitions == nil || slices.Contains(partitions, key.partition))
}

// partitions returns what is chosen, in order; without a choice, what the group has offsets of.
func (s selection) partitions(ctx context.Context, client *kadm.Client, state *groupState) (keys []partitionKey, err error) {
	if s == nil {
		keys = slices.Collect(maps.Keys(state.offsets))
		if len(keys) == 0 {
			return nil, fmt.Errorf("group %q has no offsets, name a topic with --topic", state.group)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(s)) {
		found, err := findPartitions(ctx, client, []string{topic}, s[topic])
		if err != nil {
			return nil, err
		}
		keys = append(keys, found...)
	}
	slices.SortFunc(keys, partitionKey.compare)
	return keys, nil
}

// planBound plans that the group goes on at a place of each partition.
func planBound(to whence.Bound, chosen selection) planner {
	return func(ctx context.Context, client *kadm.Client, state *groupState) ([]offsetMove, error) {
		keys, err := chosen.partitions(ctx, client, state)
		if err != nil {
			return nil, err
		}
		var topics []string
		for _, key := range keys {
			topics = append(topics, key.topic)
		}
		places, err := listPlaces(ctx, client, to, unique(topics))
		if err != nil {
			return nil, err
		}
		var moves []offsetMove
		for _, key := range keys {
			target, err := state.target(key, places)
			metadata := "" // belongs to an offset
			if committed, ok := state.offsets[key]; ok && committed.At == target {
				metadata = committed.Metadata
			}
			move := state.moveTo(key, &target, -1, metadata)
			if err != nil {
				move.To, move.Change = nil, nil
				move.fail(err)
			}
			moves = append(moves, move)
		}
		return moves, nil
	}
}

// target returns the offset that the bound of places is for the group.
func (s *groupState) target(key partitionKey, places *places) (int64, error) {
	first, next, place, err := places.at(key)
	if err != nil {
		return 0, err
	}
	if distance, ok := places.bound.Distance(); ok {
		committed, ok := s.offsets[key]
		if !ok {
			return 0, errors.New("the group has no offset to count from")
		}
		return min(next, max(first, saturatedAdd(committed.At, distance))), nil
	}
	if _, plain := places.bound.Offset(); plain && (place < first || place > next) {
		return 0, fmt.Errorf("offset %d is not within %d to %d", place, first, next)
	}
	return place, nil
}

// saturatedAdd adds without overflow to an offset, which is not negative.
func saturatedAdd(offset, distance int64) int64 {
	if sum := offset + distance; distance < 0 || sum >= offset {
		return sum
	}
	return 1<<63 - 1
}

// planFromGroup plans that the group goes on where another one is.
func planFromGroup(other string, chosen selection) planner {
	return func(ctx context.Context, client *kadm.Client, state *groupState) ([]offsetMove, error) {
		model, err := loadGroup(ctx, client, other)
		if err != nil {
			return nil, err
		}
		if !model.exists {
			return nil, unknownGroup(ctx, client, other)
		}
		var moves []offsetMove
		for key, committed := range model.offsets {
			if chosen.has(key) {
				moves = append(moves, state.moveTo(key, &committed.At, committed.LeaderEpoch, committed.Metadata))
			}
		}
		if len(moves) == 0 {
			return nil, fmt.Errorf("group %q has no such offsets", other)
		}
		return moves, nil
	}
}
