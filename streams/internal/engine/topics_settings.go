package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// fitSettings changes those settings of internal topics that would lose what the application needs: an earlier version of it, or somebody
// else, has created them. What is kept for longer than it has to be stays. That a setting cannot be changed is a warning: the records
// are still there, and whoever may change it is told to.
func fitSettings(ctx context.Context, admin *kadm.Client, wanted []wantedTopic, logger *slog.Logger) error {
	byName := map[string]wantedTopic{}
	for _, w := range wanted {
		byName[w.name] = w
	}
	described, refused, err := settingsOf(ctx, admin.DescribeTopicConfigs, slices.Sorted(maps.Keys(byName)))
	if err != nil {
		return err
	}
	if refused != nil {
		logger.Warn("cannot look at the settings of internal topics, which may keep less than is needed", "error", refused)
	}
	for _, topic := range described {
		if topic.Err != nil {
			logger.Warn("cannot look at the settings of an internal topic, which may keep less than is needed", "topic", topic.Name,
				"needed", byName[topic.Name].configs, "error", topic.Err)
			continue
		}
		changes := byName[topic.Name].changes(topic.Configs)
		if len(changes) == 0 {
			continue
		}
		responses, err := admin.AlterTopicConfigs(ctx, changes, topic.Name)
		if err == nil && len(responses) > 0 {
			err = responses[0].Err
		}
		if err != nil {
			logger.Warn("an internal topic keeps less than is needed and its settings cannot be changed: change them, or state may be lost",
				"topic", topic.Name, "needed", inWords(changes), "error", err)
			continue
		}
		logger.Info("changed the settings of an internal topic, which kept less than is needed", "topic", topic.Name, "to", inWords(changes))
	}
	return nil
}

// describer is kadm.Client.DescribeTopicConfigs.
type describer func(ctx context.Context, topics ...string) (kadm.ResourceConfigs, error)

// settingsOf returns the settings of internal topics, and none with refused if there is one that the client may not ask for: kadm then
// returns no other either.
func settingsOf(ctx context.Context, describe describer, topics []string) (found kadm.ResourceConfigs, refused, err error) {
	found, err = describe(ctx, topics...)
	var unauthorized *kadm.AuthError
	if errors.As(err, &unauthorized) {
		return nil, err, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look at the settings of internal topics: %w", err)
	}
	return found, nil, nil
}

// changes are what has to be changed of the settings that a topic has.
func (w wantedTopic) changes(found []kadm.Config) (changes []kadm.AlterConfig) {
	for _, config := range found {
		wanted, set := w.configs[config.Key]
		if set && config.Value != nil && keepsLess(config.Key, *config.Value, wanted) {
			changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: config.Key, Value: kadm.StringPtr(wanted)})
		}
	}
	slices.SortFunc(changes, func(a, b kadm.AlterConfig) int { return cmp.Compare(a.Name, b.Name) })
	return changes
}

// keepsLess reports whether a topic that has one value of a setting loses something that it keeps with another.
func keepsLess(key, found, wanted string) bool {
	switch key {
	case "retention.ms", "retention.bytes": // -1: for ever
		has, strange := strconv.ParseInt(found, 10, 64)
		needs, wrong := strconv.ParseInt(wanted, 10, 64)
		return strange == nil && wrong == nil && has >= 0 && (needs < 0 || has < needs)
	case "cleanup.policy":
		has, needs := policies(found), policies(wanted)
		isOnlyMore := slices.Equal(has, []string{"compact"}) && slices.Contains(needs, "compact") // nothing is deleted for its age
		return !slices.Equal(has, needs) && !isOnlyMore
	case "message.timestamp.type": // the time of a record is part of it
		return found != wanted
	}
	return false // it costs room only
}

// policies returns the ways in which a topic is cleaned up, in order.
func policies(text string) []string {
	all := strings.Split(strings.ReplaceAll(text, " ", ""), ",")
	slices.Sort(all)
	return all
}

func inWords(changes []kadm.AlterConfig) string {
	var all []string
	for _, c := range changes {
		all = append(all, c.Name+"="+*c.Value)
	}
	return strings.Join(all, " ")
}
