package graph

import (
	"cmp"
	"slices"
)

// DescriptionVersion is the version of a description's JSON.
const DescriptionVersion = 1

// Description is a topology without its functions: what is shown, stored and compared. It is a value; its JSON is the record in the
// application's topology topic.
type Description struct {
	Version       int                      `json:"version"`
	App           string                   `json:"app,omitempty"` // "" before it is known
	Fingerprint   string                   `json:"fingerprint"`   // the same for all that can take over each other's state
	Subtopologies []SubtopologyDescription `json:"subtopologies"`
	Topics        []TopicDescription       `json:"topics"`
	Stores        []StoreDescription       `json:"stores"`
}

// SubtopologyDescription is a part of a topology that runs in tasks, one for each partition.
type SubtopologyDescription struct {
	Name    string            `json:"name"`
	Tasks   int               `json:"tasks,omitempty"` // 0 before the partition counts are known
	Sources []string          `json:"sources"`
	Sinks   []string          `json:"sinks,omitempty"`
	Stores  []string          `json:"stores,omitempty"`
	Nodes   []NodeDescription `json:"nodes"`
}

// NodeDescription is a step of a topology.
type NodeDescription struct {
	Name        string   `json:"name"`
	Kind        Kind     `json:"kind"`
	Operator    string   `json:"operator,omitempty"`
	Parents     []string `json:"parents,omitempty"`
	Edge        string   `json:"edge,omitempty"` // which output of its parent it takes; "" for the usual one
	Topics      []string `json:"topics,omitempty"`
	Stores      []string `json:"stores,omitempty"`
	DeadLetters string   `json:"dead_letters,omitempty"` // topic
}

// TopicDescription is a topic, by the name that the topology has for it.
type TopicDescription struct {
	Name       string `json:"name"`
	Kafka      string `json:"kafka,omitempty"` // its name in Kafka; "" before the application is known
	Internal   bool   `json:"internal,omitempty"`
	Partitions int    `json:"partitions,omitempty"` // 0 if that is not known, as of sinks
	Key        string `json:"key"`                  // names of codecs
	Value      string `json:"value"`
}

// StoreDescription is a store.
type StoreDescription struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Key        string   `json:"key"` // names of codecs
	Value      string   `json:"value"`
	Windows    string   `json:"windows,omitempty"`
	Topics     []string `json:"topics"`               // from which its records come
	Changelog  string   `json:"changelog,omitempty"`  // topic in Kafka; "" before the application is known
	Partitions int      `json:"partitions,omitempty"` // of the changelog, one for each task
}

// Describe returns the description. Without an application, app is "" and partitions is nil.
func (t *Topology) Describe(app string, partitions map[string]int) Description {
	d := Description{Version: DescriptionVersion, App: app}
	for _, s := range t.Subtopologies() {
		d.Subtopologies = append(d.Subtopologies, s.describe(partitions))
		for _, store := range s.Stores {
			d.Stores = append(d.Stores, t.describeStore(store, app, s.Tasks(partitions)))
		}
	}
	for _, topic := range t.Topics {
		one := TopicDescription{Name: topic.Name, Internal: topic.Internal, Partitions: partitions[topic.Name], Key: topic.Key, Value: topic.Value}
		if app != "" {
			one.Kafka = t.KafkaTopic(app, topic.Name)
		}
		d.Topics = append(d.Topics, one)
	}
	d.Fingerprint = d.fingerprint()
	return d
}

func (s *Subtopology) describe(partitions map[string]int) SubtopologyDescription {
	d := SubtopologyDescription{Name: s.Name, Tasks: s.Tasks(partitions), Sources: s.Sources, Sinks: s.Sinks}
	for _, store := range s.Stores {
		d.Stores = append(d.Stores, store.Name)
	}
	for _, n := range s.Nodes {
		node := NodeDescription{Name: n.Name, Kind: n.Kind, Operator: n.Operator, Edge: n.Edge, Topics: n.Topics, Stores: n.Stores, DeadLetters: n.DeadLetters}
		for _, parent := range n.Parents {
			node.Parents = append(node.Parents, parent.Name)
		}
		d.Nodes = append(d.Nodes, node)
	}
	return d
}

func (t *Topology) describeStore(store *Store, app string, tasks int) StoreDescription {
	d := StoreDescription{Name: store.Name, Kind: store.Kind, Key: store.Key, Value: store.Value, Windows: store.Windows,
		Topics: t.StoreTopics(store.Name), Partitions: tasks}
	if app != "" {
		d.Changelog = ChangelogTopic(app, store.Name)
	}
	return d
}

// fingerprint covers what decides whether state and records in flight can be taken over: stores, codecs, windows, and the
// partition counts of what is read.
func (d Description) fingerprint() string {
	stores := slices.Clone(d.Stores)
	slices.SortFunc(stores, func(a, b StoreDescription) int { return cmp.Compare(a.Name, b.Name) })
	topics := slices.DeleteFunc(slices.Clone(d.Topics), func(topic TopicDescription) bool { return !d.reads(topic.Name) })
	slices.SortFunc(topics, func(a, b TopicDescription) int { return cmp.Compare(a.Name, b.Name) })
	return hash(stores, topics)
}

func (d Description) reads(topic string) bool {
	return slices.ContainsFunc(d.Subtopologies, func(s SubtopologyDescription) bool { return slices.Contains(s.Sources, topic) })
}

// Topic returns the description of a topic.
func (d Description) Topic(name string) (TopicDescription, bool) {
	at := slices.IndexFunc(d.Topics, func(topic TopicDescription) bool { return topic.Name == name })
	if at < 0 {
		return TopicDescription{}, false
	}
	return d.Topics[at], true
}

// Store returns the description of a store.
func (d Description) Store(name string) (StoreDescription, bool) {
	at := slices.IndexFunc(d.Stores, func(store StoreDescription) bool { return store.Name == name })
	if at < 0 {
		return StoreDescription{}, false
	}
	return d.Stores[at], true
}
