package streamstest

import (
	"maps"

	"github.com/millrace/millrace/streams/internal/graph"
	"github.com/millrace/millrace/streams/streamstest/internal/cluster"
)

// createTopics creates what the topology names: its own topics, those of dead letters, and the internal ones as the library
// would.
func (d *Driver) createTopics() {
	d.t.Helper()
	topology, given := d.program.Graph, map[string]int{}
	for _, topic := range topology.Topics {
		if !topic.Internal {
			given[topic.Name] = 1
		}
	}
	for _, node := range topology.Nodes {
		if node.DeadLetters != "" {
			given[node.DeadLetters] = 1
		}
	}
	for name, n := range d.options.Partitions {
		if given[name] == 0 && topology.Topic(name) == nil {
			d.t.Fatalf("Options.Partitions has %d for topic %s, which the topology neither reads nor writes: it has %v",
				n, name, sortedKeys(given))
		}
		given[name] = n
	}
	counts, err := topology.Partitions(given)
	if err != nil {
		d.t.Fatalf("the partition counts do not fit: %v", err)
	}
	maps.Copy(given, counts)
	d.counts = given
	for _, name := range sortedKeys(given) {
		d.create(topology.KafkaTopic(d.options.App, name), given[name])
	}
	for _, sub := range d.program.Subtopologies {
		for _, store := range sub.Stores {
			d.create(d.Changelog(store.Name), sub.Tasks(given))
		}
	}
}

func (d *Driver) create(topic string, partitions int) {
	d.t.Helper()
	if d.cluster.Topic(topic) != nil {
		return // an earlier topology has it too
	}
	if _, err := d.cluster.Create(topic, partitions); err != nil {
		d.t.Fatal(err)
	}
}

// topic returns a topic by the name that the topology has for it, or that it has in Kafka.
func (d *Driver) topic(name string) *cluster.Topic {
	d.t.Helper()
	topic := d.cluster.Topic(d.program.Graph.KafkaTopic(d.options.App, name))
	if topic == nil {
		topic = d.cluster.Topic(name)
	}
	if topic == nil {
		d.t.Fatalf("no topic %s: the topology has %v", name, sortedKeys(d.counts))
	}
	return topic
}

// partitionsOf returns how many partitions a topic has in Kafka, 0 if there is none of that name.
func (d *Driver) partitionsOf(topic string) int {
	if found := d.cluster.Topic(topic); found != nil {
		return len(found.Partitions)
	}
	return 0
}

// recordBytesMaxOf returns what topics take; nil: what they take without a word about it.
func (d *Driver) recordBytesMaxOf() func(topic string) int {
	if d.options.RecordBytesMax == 0 {
		return nil
	}
	return func(string) int { return d.options.RecordBytesMax }
}

// Truncate deletes the records of one partition of a topic before an offset, as retention does; with a negative offset all of
// them. The name is the topology's, or that of a [Driver.Changelog].
func (d *Driver) Truncate(topic string, partition int, before int64) {
	d.t.Helper()
	log := d.log(topic, partition)
	if before < 0 {
		before = log.End()
	}
	log.Truncate(before)
}

// Compact leaves of each key in a topic the last record, as the broker's cleaner does. Deletions go as well if they were written
// more than 24 hours ago (delete.retention.ms) by the driver's clock. The name is as for [Driver.Truncate].
func (d *Driver) Compact(topic string) {
	d.t.Helper()
	for _, log := range d.topic(topic).Partitions {
		log.Compact(d.now.UnixMilli() - deleteRetentionMs)
	}
}

// Recreate deletes a topic and creates it again, with as many partitions and no records. The processes stop before, as they must
// for that. The name is as for [Driver.Truncate].
func (d *Driver) Recreate(topic string) {
	d.t.Helper()
	d.Stop()
	earlier := d.topic(topic)
	d.cluster.Delete(earlier.Name)
	d.create(earlier.Name, len(earlier.Partitions))
}

// Changelog returns the name in Kafka of the topic with a store's changes.
func (d *Driver) Changelog(store string) string { return graph.ChangelogTopic(d.options.App, store) }

func (d *Driver) log(topic string, partition int) *cluster.Log {
	d.t.Helper()
	logs := d.topic(topic).Partitions
	if partition < 0 || partition >= len(logs) {
		d.t.Fatalf("no partition %d of topic %s, which has %d: Options.Partitions says how many", partition, topic, len(logs))
	}
	return logs[partition]
}
