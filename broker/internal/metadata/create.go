package metadata

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/broker/internal/config"
)

// NewTopic is a topic that somebody wants.
type NewTopic struct {
	Name              string
	Partitions        int32        // -1: num.partitions
	ReplicationFactor int16        // -1: default.replication.factor
	Assignments       []Assignment // where each replica goes, instead of the two numbers, which must be -1
	Configs           []ConfigValue
	// Own says that the broker itself creates the topic, by itself or because a client asked for its metadata: it may
	// be internal, and a replication factor that the broker cannot reach is lowered instead of refused.
	Own bool
}

// Assignment says which brokers hold a partition.
type Assignment struct {
	Partition int32
	Replicas  []int32
}

// ConfigValue is a setting with a value, which may be null.
type ConfigValue struct {
	Name  string
	Value *string
}

// Created is what became of a NewTopic.
type Created struct {
	Name  string
	Err   error
	Topic *Topic // as it will be; nil if Err is set
}

// partitionsPerChange bounds the partitions that one request creates.
const partitionsPerChange = 10000

// CreateTopics decides which topics come to be. A result per name, in the order of the first mention; the records
// are those of all that are not refused, and are one change. newID returns a fresh random id at each call.
//
// It refuses with ErrInvalidTopic, ErrTopicExists, ErrInvalidPartitions, ErrInvalidReplicationFactor,
// ErrInvalidReplicaAssignment, ErrInvalidConfig, ErrPolicy, and ErrInvalidRequest for a name that comes twice.
func (image *Image) CreateTopics(settings *config.Broker, wanted []NewTopic, newID func() [16]byte) ([]Record, []Created) {
	mentions := map[string]int{}
	for i := range wanted {
		mentions[wanted[i].Name]++
	}
	colliding := image.collisions()
	budget := partitionsPerChange
	var records []Record
	var results []Created
	for i := range wanted {
		w := &wanted[i]
		count := mentions[w.Name]
		if count == 0 {
			continue // answered at its first mention
		}
		mentions[w.Name] = 0
		result := Created{Name: w.Name}
		if count > 1 {
			result.Err = fmt.Errorf("%w: topic %q is in the request %d times", ErrInvalidRequest, w.Name, count)
		} else {
			result.Topic, result.Err = image.newTopic(settings, w, colliding, budget)
		}
		if t := result.Topic; t != nil {
			t.ID = newID()
			budget -= int(t.Partitions)
			colliding.add(t.Name)
			records = append(records, image.creation(t)...)
		}
		results = append(results, result)
	}
	return records, results
}

// newTopic checks one wanted topic and returns it as it will be, without an id.
func (image *Image) newTopic(settings *config.Broker, w *NewTopic, colliding collisions, budget int) (*Topic, error) {
	if err := CheckTopicName(w.Name); err != nil {
		return nil, err
	}
	if image.Topic(w.Name) != nil {
		return nil, fmt.Errorf("%w: %q", ErrTopicExists, w.Name)
	}
	if w.Name == MetadataTopic || IsInternal(w.Name) && !w.Own {
		return nil, fmt.Errorf("%w: %q is the broker's own", ErrInvalidTopic, w.Name)
	}
	if err := colliding.check(w.Name); err != nil {
		return nil, err
	}
	configs, err := newConfigs(settings, w.Configs)
	if err != nil {
		return nil, err
	}
	partitions, err := image.newPartitions(settings, w)
	if err != nil {
		return nil, err
	}
	if int(partitions) > budget {
		return nil, fmt.Errorf("%w: more than %d partitions in one request", ErrPolicy, partitionsPerChange)
	}
	return &Topic{Name: w.Name, Partitions: partitions, Configs: configs, Internal: IsInternal(w.Name)}, nil
}

func newConfigs(settings *config.Broker, values []ConfigValue) (map[string]string, error) {
	var configs map[string]string
	for _, v := range values {
		if v.Value == nil {
			return nil, fmt.Errorf("%w: %s is null", ErrInvalidConfig, v.Name)
		}
		if configs == nil {
			configs = map[string]string{}
		}
		configs[v.Name] = *v.Value
	}
	if _, err := settings.Topic(configs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	return configs, nil
}

func (image *Image) newPartitions(settings *config.Broker, w *NewTopic) (int32, error) {
	if len(w.Assignments) > 0 {
		return image.assignedPartitions(w)
	}
	factor := w.ReplicationFactor
	if factor == -1 {
		factor = int16(settings.DefaultReplicationFactor)
	}
	if factor < 1 {
		return 0, fmt.Errorf("%w: %d, it must be positive, or -1 for the default", ErrInvalidReplicationFactor, factor)
	}
	if factor > brokers && !w.Own {
		return 0, fmt.Errorf("%w: %d replicas with %d broker", ErrInvalidReplicationFactor, factor, brokers)
	}
	partitions := w.Partitions
	if partitions == -1 {
		partitions = settings.NumPartitions
	}
	if partitions < 1 {
		return 0, fmt.Errorf("%w: %d, it must be positive, or -1 for the default", ErrInvalidPartitions, partitions)
	}
	return partitions, nil
}

// brokers is how many brokers there are to hold replicas.
const brokers = 1

func (image *Image) assignedPartitions(w *NewTopic) (int32, error) {
	if w.Partitions != -1 || w.ReplicationFactor != -1 {
		return 0, fmt.Errorf("%w: with assignments, partitions (%d) and replication factor (%d) must be -1",
			ErrInvalidRequest, w.Partitions, w.ReplicationFactor)
	}
	seen := make(map[int32]bool, len(w.Assignments))
	for _, a := range w.Assignments {
		if seen[a.Partition] {
			return 0, fmt.Errorf("%w: partition %d is assigned twice", ErrInvalidReplicaAssignment, a.Partition)
		}
		seen[a.Partition] = true
		if err := image.CheckReplicas(a.Replicas); err != nil {
			return 0, fmt.Errorf("partition %d: %w", a.Partition, err)
		}
	}
	for index := range int32(len(w.Assignments)) {
		if !seen[index] {
			return 0, fmt.Errorf("%w: partitions are not numbered from 0 without a gap: %d is missing", ErrInvalidReplicaAssignment, index)
		}
	}
	return int32(len(w.Assignments)), nil
}

// CheckReplicas allows what one broker can do: hold the only replica. Anything else is ErrInvalidReplicaAssignment.
func (image *Image) CheckReplicas(replicas []int32) error {
	if len(replicas) == 0 {
		return fmt.Errorf("%w: no replicas", ErrInvalidReplicaAssignment)
	}
	for i, id := range replicas {
		if id != image.nodeID {
			return fmt.Errorf("%w: no broker %d", ErrInvalidReplicaAssignment, id)
		}
		if i > 0 {
			return fmt.Errorf("%w: broker %d twice", ErrInvalidReplicaAssignment, id)
		}
	}
	return nil
}

// creation returns the records that create t, in Kafka's order: topic, settings, partitions.
func (image *Image) creation(t *Topic) []Record {
	records := []Record{&TopicRecord{Name: t.Name, ID: t.ID}}
	for _, name := range slices.Sorted(maps.Keys(t.Configs)) {
		value := t.Configs[name]
		records = append(records, &ConfigRecord{ResourceType: resourceTopic, ResourceName: t.Name, Name: name, Value: &value})
	}
	return append(records, image.partitionRecords(t.ID, 0, t.Partitions)...)
}

// partitionRecords returns the records of the partitions [from, to) of a topic.
func (image *Image) partitionRecords(id [16]byte, from, to int32) []Record {
	records := make([]Record, 0, to-from)
	for index := from; index < to; index++ {
		records = append(records, &PartitionRecord{
			PartitionID: index,
			TopicID:     id,
			Replicas:    []int32{image.nodeID},
			Isr:         []int32{image.nodeID},
			Leader:      image.nodeID,
			LeaderEpoch: image.LeaderEpoch(),
		})
	}
	return records
}
