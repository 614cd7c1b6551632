package main

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/cmd/millrace/internal/usage"
)

// configChanges returns what a command is asked to set and to unset, each sorted by key.
func configChanges(command string, set map[string]string, unset []string) ([]kadm.AlterConfig, error) {
	var changes []kadm.AlterConfig
	for _, key := range slices.Sorted(maps.Keys(set)) {
		value := set[key]
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
	}
	for _, key := range unique(unset) {
		if _, both := set[key]; both {
			return nil, usage.Errorf("%s: %s is set and in --unset", command, key)
		}
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: key})
	}
	return changes, nil
}
