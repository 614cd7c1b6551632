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

// ConfigChange changes one setting of a topic or a broker. Value is ignored by ConfigDelete.
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
	after, err := changedConfigs(settings, config.TopicSetting, t.Configs, changes)
	if err != nil {
		return nil, err
	}
	return topicConfigRecords(settings, t, after)
}

// ReplaceConfigs decides what it takes for a topic to have exactly the given settings (the older AlterConfigs).
// It refuses as ChangeConfigs does.
func (image *Image) ReplaceConfigs(settings *config.Broker, topic string, values []ConfigValue) ([]Record, error) {
	t, err := image.configuredTopic(topic)
	if err != nil {
		return nil, err
	}
	after, err := replacedConfigs(values)
	if err != nil {
		return nil, err
	}
	return topicConfigRecords(settings, t, after)
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

func topicConfigRecords(settings *config.Broker, t *Topic, after map[string]string) ([]Record, error) {
	if _, err := settings.Topic(after); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	return configRecords(resourceTopic, t.Name, t.Configs, after), nil
}

// changedConfigs are the settings that changes make of before. settings and row say what a list begins with that is
// not set.
func changedConfigs(settings *config.Broker, row func(name string) *config.Setting, before map[string]string,
	changes []ConfigChange) (map[string]string, error) {
	after := maps.Clone(before)
	if after == nil {
		after = map[string]string{}
	}
	seen := map[string]bool{}
	for _, change := range changes {
		if seen[change.Name] {
			return nil, fmt.Errorf("%w: %s is in the request twice", ErrInvalidRequest, change.Name)
		}
		seen[change.Name] = true
		value, err := changedValue(settings, row(change.Name), before, change)
		switch {
		case err != nil:
			return nil, err
		case change.Op == ConfigDelete:
			delete(after, change.Name)
		default:
			after[change.Name] = value
		}
	}
	return after, nil
}

// changedValue is the value that a change gives to its setting, of which row is the row, nil if there is none.
func changedValue(settings *config.Broker, row *config.Setting, before map[string]string, change ConfigChange) (string, error) {
	switch {
	case change.Op == ConfigDelete:
		return "", nil
	case change.Value == nil:
		return "", fmt.Errorf("%w: %s is null", ErrInvalidRequest, change.Name)
	case change.Op == ConfigSet:
		return *change.Value, nil
	case change.Op != ConfigAppend && change.Op != ConfigSubtract:
		return "", fmt.Errorf("%w: operation %d on %s", ErrInvalidRequest, change.Op, change.Name)
	case row == nil || row.Kind != config.List:
		return "", fmt.Errorf("%w: %s is not a list, which alone can be appended to or subtracted from", ErrInvalidConfig, change.Name)
	case change.Op == ConfigAppend:
		return settings.Append(row, before, *change.Value), nil
	}
	return settings.Subtract(row, before, *change.Value), nil
}

func replacedConfigs(values []ConfigValue) (map[string]string, error) {
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
	return after, nil
}

// configRecords returns the records that lead from a resource's settings before to those after, sorted by name.
func configRecords(kind int8, resource string, before, after map[string]string) []Record {
	names := map[string]bool{}
	for name := range before {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	var records []Record
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before[name]
		value, has := after[name]
		record := &ConfigRecord{ResourceType: kind, ResourceName: resource, Name: name}
		if has {
			record.Value = &value
		}
		if had != has || was != value {
			records = append(records, record)
		}
	}
	return records
}
