package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// losses says which of the changes let a broker delete records that it would keep as things are, one
// line for each topic and setting. A topic that does not exist loses nothing.
func losses(ctx context.Context, client *kadm.Client, changes []kadm.AlterConfig, names []string) ([]string, error) {
	if !slices.ContainsFunc(changes, func(change kadm.AlterConfig) bool { return deletesBy(change.Name) != nil }) || len(names) == 0 {
		return nil, nil
	}
	described, err := client.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, name := range names {
		topic, err := described.On(name, nil)
		if err != nil || topic.Err != nil {
			continue
		}
		for _, change := range changes {
			at := slices.IndexFunc(topic.Configs, func(config kadm.Config) bool { return config.Key == change.Name })
			if at < 0 || deletesBy(change.Name) == nil {
				continue
			}
			from, to := topic.Configs[at].MaybeValue(), valueAfter(topic.Configs[at], change)
			if deletesBy(change.Name)(from, to) {
				lines = append(lines, fmt.Sprintf("%s of topic %s from %s to %s", change.Name, name, from, to))
			}
		}
	}
	return lines, nil
}

// deletesBy returns whether a change of the setting from one value to another deletes records; nil
// for settings that never do.
func deletesBy(setting string) func(from, to string) bool {
	switch setting {
	case "retention.ms", "retention.bytes":
		return func(from, to string) bool {
			before, err := strconv.ParseInt(from, 10, 64)
			after, err2 := strconv.ParseInt(to, 10, 64)
			unlimited := before < 0
			return err == nil && err2 == nil && after >= 0 && (unlimited || after < before)
		}
	case "cleanup.policy":
		return func(from, to string) bool {
			has := strings.Split(from, ",")
			return slices.ContainsFunc(strings.Split(to, ","), func(policy string) bool {
				return policy != "" && !slices.Contains(has, policy)
			})
		}
	}
	return nil
}

// valueAfter returns what a setting has when the change is made.
func valueAfter(config kadm.Config, change kadm.AlterConfig) string {
	if change.Op == kadm.SetConfig && change.Value != nil {
		return *change.Value
	}
	for _, synonym := range config.Synonyms {
		if synonym.Source != kmsg.ConfigSourceDynamicTopicConfig && synonym.Value != nil {
			return inMs(synonym.Key, *synonym.Value)
		}
	}
	return config.MaybeValue()
}

// inMs converts the broker's settings of a time that are not in milliseconds, as retention.ms is.
func inMs(setting, value string) string {
	unitMs := map[string]int64{"log.retention.hours": 3_600_000, "log.retention.minutes": 60_000}[setting]
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && unitMs > 0 && n > 0 {
		return strconv.FormatInt(n*unitMs, 10)
	}
	return value
}
