package graph

import (
	"errors"
	"fmt"
	"slices"
)

const (
	// topicBytesMax is how long the names of topics in Kafka are.
	topicBytesMax = 249
	// nameBytesMax leaves room for the application's name and the suffixes in that.
	nameBytesMax = 150
)

// Check returns all mistakes of the description that show without a cluster, joined, nil if there are none.
func (t *Topology) Check() error {
	var mistakes []error
	if !slices.ContainsFunc(t.Nodes, func(n *Node) bool { return n.Kind == Source }) {
		mistakes = append(mistakes, errors.New("the topology reads no topic: begin with From or TableFrom"))
	}
	mistakes = append(mistakes, t.checkNodes()...)
	mistakes = append(mistakes, t.checkTopics()...)
	mistakes = append(mistakes, t.checkStores()...)
	mistakes = append(mistakes, t.checkSubtopologies()...)
	return errors.Join(mistakes...)
}

func (t *Topology) checkNodes() (mistakes []error) {
	seen := map[string]bool{}
	for _, n := range t.Nodes {
		if seen[n.Name] {
			mistakes = append(mistakes, fmt.Errorf("node %s: a second node has this name: give one of them another", n.Name))
		}
		seen[n.Name] = true
		if n.Kind != Source && len(n.Parents) == 0 {
			mistakes = append(mistakes, fmt.Errorf("node %s: nothing comes in", n.Name))
		}
		for _, topic := range n.Topics {
			if t.Topic(topic) == nil {
				mistakes = append(mistakes, fmt.Errorf("node %s: topic %s is not described", n.Name, topic))
			}
		}
		for _, store := range n.Stores {
			if t.Store(store) == nil {
				mistakes = append(mistakes, fmt.Errorf("node %s: store %s is not described", n.Name, store))
			}
		}
	}
	return mistakes
}

func (t *Topology) checkTopics() (mistakes []error) {
	seen := map[string]*Topic{}
	for _, topic := range t.Topics {
		check := CheckTopicName
		if topic.Internal {
			check = CheckName
		}
		if err := check(topic.Name); err != nil {
			mistakes = append(mistakes, fmt.Errorf("topic %q: %w", topic.Name, err))
		}
		other := seen[topic.Name]
		switch {
		case other == nil:
			seen[topic.Name] = topic
		case other.Key != topic.Key || other.Value != topic.Value:
			mistakes = append(mistakes, fmt.Errorf("topic %s: its codecs are %s and %s in one place, %s and %s in another: "+
				"use one descriptor", topic.Name, other.Key, other.Value, topic.Key, topic.Value))
		default:
			mistakes = append(mistakes, fmt.Errorf("topic %s: it is used for repartitioning in two ways or by others too: "+
				"give each its own topic", topic.Name))
		}
	}
	return mistakes
}

func (t *Topology) checkStores() (mistakes []error) {
	seen := map[string]*Store{}
	for _, store := range t.Stores {
		if err := CheckName(store.Name); err != nil {
			mistakes = append(mistakes, fmt.Errorf("store %q: %w", store.Name, err))
		}
		if other := seen[store.Name]; other != nil {
			mistakes = append(mistakes, fmt.Errorf("store %s: it is described as %s and as %s: give one of them another name",
				store.Name, other, store))
		}
		seen[store.Name] = store
	}
	return mistakes
}

func (t *Topology) checkSubtopologies() (mistakes []error) {
	named := map[string]bool{}
	for _, s := range t.Subtopologies() {
		if named[s.Name] {
			mistakes = append(mistakes, fmt.Errorf("store %s: a topic that another part of the topology reads has the same name, "+
				"and parts are called after them: give the store another name", s.Name))
		}
		named[s.Name] = true
	}
	for _, topic := range t.Topics {
		if topic.Internal && !t.isSource(topic.Name) {
			mistakes = append(mistakes, fmt.Errorf("topic %s: it is written for repartitioning and nothing reads it", topic.Name))
		}
	}
	return mistakes
}

// String is the store as its mistakes name it.
func (s *Store) String() string {
	text := fmt.Sprintf("%s of %s to %s", s.Kind, s.Key, s.Value)
	if s.Windows != "" {
		text += ", " + s.Windows
	}
	return text
}

// CheckName holds the name of a store, of a repartition topic or of a node against what can become the name of a topic, a
// directory and a label.
func CheckName(name string) error { return checkName(name, nameBytesMax) }

// CheckTopicName holds the name of a topic that is not the application's own against what Kafka takes.
func CheckTopicName(name string) error { return checkName(name, topicBytesMax) }

func checkName(name string, bytesMax int) error {
	const allowed = "a name has a-z, A-Z, 0-9, '.', '_' and '-' only"
	switch {
	case name == "":
		return errors.New("it has no name")
	case len(name) > bytesMax:
		return fmt.Errorf("the name has %d bytes, at most %d", len(name), bytesMax)
	case name == "." || name == "..":
		return errors.New("dots alone are no name: " + allowed)
	}
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return fmt.Errorf("%s, not %q", allowed, c)
		}
	}
	return nil
}
