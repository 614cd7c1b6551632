package config

import (
	"fmt"
	"maps"
	"slices"
)

// dynamicSettings are the broker's settings that can be changed while it runs, as with Kafka: what topics take their
// values from, and what the next connection, the next look at a partition or the next compaction goes by.
var dynamicSettings = func() map[string]bool {
	names := map[string]bool{
		"max.connections": true, "max.connections.per.ip": true, "producer.id.expiration.ms": true,
		"transaction.partition.verification.enable": true,
		"log.cleaner.backoff.ms":                    true, "log.cleaner.dedupe.buffer.size": true, "log.cleaner.io.max.bytes.per.second": true,
	}
	for i := range topicTable {
		if synonyms := topicTable[i].Synonyms; len(synonyms) > 0 {
			names[synonyms[0].Name] = true // the others are older names in coarser units, which only a file may use
		}
	}
	return names
}()

// Dynamic says whether the broker's setting of that name can be changed while it runs.
func Dynamic(name string) bool { return dynamicSettings[name] }

// BrokerSetting returns the row of a broker setting, or nil.
func BrokerSetting(name string) *Setting { return brokerSettings[name] }

// layer is what one source says about the broker's settings.
type layer struct {
	source Source
	values map[string]string
}

// With returns the settings that b was started with below those that were set at run time: for all brokers of the
// cluster, and stronger, for this one. What an earlier With has set is not in them. The maps are kept.
//
// A setting that is unknown or cannot change at run time, a value that does not parse or is out of range, and values
// that contradict each other are errors that say so.
func (b *Broker) With(cluster, own map[string]string) (*Broker, error) {
	static := b.layers[len(b.layers)-1]
	changed := &Broker{Ignored: b.Ignored}
	for _, dynamic := range []layer{{SourceDynamicBroker, own}, {SourceDynamicDefault, cluster}} {
		for _, name := range slices.Sorted(maps.Keys(dynamic.values)) {
			if err := checkDynamic(name, dynamic.values[name]); err != nil {
				return nil, err
			}
		}
		if len(dynamic.values) > 0 {
			changed.layers = append(changed.layers, dynamic)
		}
	}
	changed.layers = append(changed.layers, static)
	return changed, changed.fill()
}

func checkDynamic(name, value string) error {
	setting, topic := brokerSettings[name], topicSettings[name]
	switch {
	case setting == nil && topic != nil && len(topic.Synonyms) > 0:
		return fmt.Errorf("%s is a setting of topics: the broker's is %q", name, topic.Synonyms[0].Name)
	case setting == nil && checkIgnored(name) == nil:
		return fmt.Errorf("%s has no use here", name)
	case setting == nil:
		return fmt.Errorf("unknown setting %q%s", name, suggestion(name, namesOf(brokerTable)))
	case !Dynamic(name):
		return fmt.Errorf("%s cannot be changed while the broker runs: set it where the broker is started, and restart", name)
	}
	_, err := setting.parse(value)
	return err
}
