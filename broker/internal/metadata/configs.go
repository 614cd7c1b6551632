package metadata

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/broker/internal/config"
)

// ConfigOp is what a ConfigChange does. The numbers are those of IncrementalAlterConfigs (KIP-339).
type ConfigOp int8

// The operations: Append and Subtract are for lists.
const (
	ConfigSet      ConfigOp = 0
	ConfigDelete   ConfigOp = 1
	ConfigAppend   ConfigOp = 2
	ConfigSubtract ConfigOp = 3
)

// ConfigChange changes one setting of a topic. Value is ignored by ConfigDelete.
type ConfigChange struct {
	Name  string
	Op    ConfigOp
	Value *string
}

// ChangeConfigs decides what changes do to a topic's settings; what they leave out stays.
//
// It refuses with ErrUnknownTopic, ErrInvalidTopic, ErrInvalidConfig, and ErrInvalidRequest for no topic at all, a
// setting that comes twice, a null value and an unknown operation.
func (image *Image) ChangeConfigs(settings *config.Broker, topic string, changes []ConfigChange) ([]Record, error) {
	t, err := image.configuredTopic(topic)
	if err != nil {
		return nil, err
	}
	after := maps.Clone(t.Configs)
	if after == nil {
		after = map[string]string{}
	}
	seen := map[string]bool{}
	for _, change := range changes {
		if seen[change.Name] {
			return nil, fmt.Errorf("%w: %s is in the request twice", ErrInvalidRequest, change.Name)
		}
		seen[change.Name] = true
		if err := changeConfig(settings, t, change, after); err != nil {
			return nil, err
		}
	}
	return configRecords(settings, t, after)
}

// configuredTopic finds the topic whose settings are to change. An empty name would be the defaults of all topics,
// which can only be given to the broker.
func (image *Image) configuredTopic(name string) (*Topic, error) {
	if name == "" {
		return nil, fmt.Errorf("%w: no topic is named", ErrInvalidRequest)
	}
	if err := CheckTopicName(name); err != nil {
		return nil, err
	}
	t := image.Topic(name)
	if t == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownTopic, name)
	}
	return t, nil
}

// changeConfig applies one change to after, a copy of t's settings.
func changeConfig(settings *config.Broker, t *Topic, change ConfigChange, after map[string]string) error {
	if change.Op == ConfigDelete {
		delete(after, change.Name)
		return nil
	}
	if change.Value == nil {
		return fmt.Errorf("%w: %s is null", ErrInvalidRequest, change.Name)
	}
	switch change.Op {
	case ConfigSet:
		after[change.Name] = *change.Value
		return nil
	case ConfigAppend, ConfigSubtract:
	default:
		return fmt.Errorf("%w: operation %d on %s", ErrInvalidRequest, change.Op, change.Name)
	}
	setting := config.TopicSetting(change.Name)
	if setting == nil || setting.Kind != config.List {
		return fmt.Errorf("%w: %s is not a list, which alone can be appended to or subtracted from", ErrInvalidConfig, change.Name)
	}
	if change.Op == ConfigAppend {
		after[change.Name] = settings.Append(setting, t.Configs, *change.Value)
	} else {
		after[change.Name] = settings.Subtract(setting, t.Configs, *change.Value)
	}
	return nil
}

// ReplaceConfigs decides what it takes for a topic to have exactly the given settings (the older AlterConfigs).
// It refuses as ChangeConfigs does.
func (image *Image) ReplaceConfigs(settings *config.Broker, topic string, values []ConfigValue) ([]Record, error) {
	t, err := image.configuredTopic(topic)
	if err != nil {
		return nil, err
	}
	after := make(map[string]string, len(values))
	for _, v := range values {
		if _, twice := after[v.Name]; twice {
			return nil, fmt.Errorf("%w: %s is in the request twice", ErrInvalidRequest, v.Name)
		}
		if v.Value == nil {
			return nil, fmt.Errorf("%w: %s is null", ErrInvalidRequest, v.Name)
		}
		after[v.Name] = *v.Value
	}
	return configRecords(settings, t, after)
}

// configRecords returns the records that lead from t's settings to after, sorted by name.
func configRecords(settings *config.Broker, t *Topic, after map[string]string) ([]Record, error) {
	if _, err := settings.Topic(after); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	names := map[string]bool{}
	for name := range t.Configs {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	var records []Record
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, had := t.Configs[name]
		value, has := after[name]
		record := &ConfigRecord{ResourceType: resourceTopic, ResourceName: t.Name, Name: name}
		if has {
			record.Value = &value
		}
		if had != has || before != value {
			records = append(records, record)
		}
	}
	return records, nil
}
