package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Broker is the configuration of one broker: each field is the setting of that name, resolved.
// It is read-only once parsed and safe for concurrent use.
type Broker struct {
	AdvertisedListeners                  []string
	AutoCreateTopicsEnable               bool
	ConnectionsMaxIdleMs                 int64 // -1: never
	ControllerListenerNames              []string
	DefaultReplicationFactor             int32
	DeleteTopicEnable                    bool
	FetchMaxBytes                        int32
	GroupInitialRebalanceDelayMs         int32
	GroupMaxSessionTimeoutMs             int32
	GroupMaxSize                         int32
	GroupMinSessionTimeoutMs             int32
	ListenerSecurityProtocolMap          []string
	Listeners                            []string
	LogCleanerBackoffMs                  int64
	LogCleanerDedupeBufferSize           int64
	LogCleanerEnable                     bool
	LogCleanerIoMaxBytesPerSecond        float64
	LogRetentionCheckIntervalMs          int64
	MaxConnections                       int32
	MaxConnectionsPerIp                  int32
	MaxIncrementalFetchSessionCacheSlots int32
	MillraceFsyncConcurrency             int32
	MillraceMetricsCompat                string
	MillraceMetricsGranularity           string
	MillraceMetricsMaxGroups             int32
	MillraceMetricsMaxTopics             int32
	NodeId                               int32
	NumPartitions                        int32
	OffsetMetadataMaxBytes               int32
	OffsetsCommitTimeoutMs               int32
	OffsetsRetentionCheckIntervalMs      int64
	OffsetsRetentionMinutes              int32
	OffsetsTopicNumPartitions            int32
	OffsetsTopicSegmentBytes             int32
	ProducerIdExpirationMs               int32
	QueuedMaxRequestBytes                int64 // -1: no limit
	QuotaWindowNum                       int32
	QuotaWindowSizeSeconds               int32
	SocketRequestMaxBytes                int32
	TransactionMaxTimeoutMs              int32
	TransactionStateLogNumPartitions     int32
	TransactionStateLogSegmentBytes      int32
	TransactionalIdExpirationMs          int32

	TransactionPartitionVerificationEnable               bool
	TransactionRemoveExpiredTransactionCleanupIntervalMs int32

	MetadataLogMaxRecordBytesBetweenSnapshots int64

	MillraceDiskFullBytes   int64
	MillraceDiskFullPercent float64
	MillraceDiskLowBytes    int64
	MillraceDiskLowPercent  float64

	MillraceScrubBytesPerSecond int64 // 0: no scrub
	MillraceScrubIntervalMs     int64 // 0: no scrub

	// Ignored names the given settings that Kafka knows and millrace has no use for, sorted.
	Ignored []string

	layers []layer // what was given, without Ignored, strongest first; the last are the settings of the start
}

// ownPrefix begins the names of settings that Kafka does not have. It may be left out: the environment variable
// MILLRACE_FLUSH means millrace.flush.
const ownPrefix = "millrace."

// ParseBroker reads settings by Kafka's names and fills in defaults. values is not kept; nil means all defaults.
// A name that neither millrace nor Kafka knows, a setting whose absence would leave the broker open (TLS, SASL,
// authorizer) and a value that does not parse or is out of range are errors that name it and what was expected.
func ParseBroker(values map[string]string) (*Broker, error) {
	b, static := &Broker{}, make(map[string]string, len(values))
	for _, given := range slices.Sorted(maps.Keys(values)) {
		name, value := given, values[given]
		setting := brokerSettings[name]
		if setting == nil && brokerSettings[ownPrefix+name] != nil {
			name = ownPrefix + name
			setting = brokerSettings[name]
		}
		if setting == nil {
			if err := checkIgnored(name); err != nil {
				return nil, err
			}
			b.Ignored = append(b.Ignored, name)
			continue
		}
		if _, err := setting.parse(value); err != nil {
			return nil, err
		}
		static[name] = value
	}
	b.layers = []layer{{SourceStaticBroker, static}}
	return b, b.fill()
}

// fill sets the fields from the layers, and checks them.
func (b *Broker) fill() error {
	target := reflect.ValueOf(b).Elem()
	for i := range brokerTable {
		setting := &brokerTable[i]
		field := target.FieldByName(fieldName(setting.Name))
		text, ok := b.resolve(setting, nil)
		if !field.IsValid() || !ok {
			continue
		}
		value, err := setting.parse(text)
		if err != nil {
			return err
		}
		field.Set(reflect.ValueOf(value))
	}
	return b.check()
}

// check holds settings against each other.
func (b *Broker) check() error {
	if b.GroupMinSessionTimeoutMs > b.GroupMaxSessionTimeoutMs {
		return fmt.Errorf("group.min.session.timeout.ms: %d is more than group.max.session.timeout.ms, %d",
			b.GroupMinSessionTimeoutMs, b.GroupMaxSessionTimeoutMs)
	}
	if b.QueuedMaxRequestBytes >= 0 && b.QueuedMaxRequestBytes < int64(b.SocketRequestMaxBytes) {
		return fmt.Errorf("queued.max.request.bytes: %d is less than socket.request.max.bytes, %d: the largest request would wait for ever",
			b.QueuedMaxRequestBytes, b.SocketRequestMaxBytes)
	}
	if err := b.checkListeners(); err != nil {
		return err
	}
	_, err := b.Topic(nil)
	return err
}

// resolve returns the text of a setting: of a topic's overrides, else of the strongest layer that has it or one of its
// synonyms, else its default. ok is false if there is no value at all.
func (b *Broker) resolve(setting *Setting, overrides map[string]string) (text string, ok bool) {
	if text, ok := overrides[setting.Name]; ok {
		return text, true
	}
	for _, l := range b.layers {
		for _, synonym := range setting.names() {
			if text, ok := l.values[synonym.Name]; ok {
				return synonym.convert(text), true
			}
		}
	}
	return setting.Default, !setting.NoDefault
}

// names are the broker settings that give a setting its value, strongest first: itself if it is one, and its synonyms.
func (s *Setting) names() []Synonym {
	if brokerSettings[s.Name] == s {
		return append([]Synonym{{s.Name, 1}}, s.Synonyms...)
	}
	return s.Synonyms
}

// convert turns the text of a synonym into the unit of the setting that it stands for.
// A negative time is "no limit" in every unit.
func (s Synonym) convert(text string) string {
	if s.Scale == 1 {
		return text
	}
	value, _ := brokerSettings[s.Name].parse(text)
	units := int64(value.(int32))
	if units < 0 {
		return "-1"
	}
	return fmt.Sprint(units * s.Scale)
}
