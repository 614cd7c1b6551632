package graph

import (
	"cmp"
	"slices"
)

// Topology is the nodes, topics and stores of one application, in the order in which they were defined. It is filled by one
// goroutine and only read afterwards.
type Topology struct {
	Nodes  []*Node
	Topics []*Topic
	Stores []*Store
}

// Kind says what a node is to the outside.
type Kind string

// The kinds of nodes.
const (
	Source    Kind = "source"    // reads topics
	Sink      Kind = "sink"      // writes a topic
	Operation Kind = "operation" // all else
)

// Node is one step of a topology.
type Node struct {
	Name     string // unique; the label of metrics and errors
	Kind     Kind
	Operator string   // "filter", "aggregate", "join", ...: for readers of a description
	Parents  []*Node  // none for a source
	Edge     string   // which of the parent's outputs this is, such as "late"; "" for the usual one
	Topics   []string // of a source: what it reads; of a sink: the one that it writes
	Stores   []string // that it reads or writes

	DeadLetters string // topic of records that it cannot process; "" if it has none
}

// Topic is a topic that is read or written.
type Topic struct {
	Name       string // as the user calls it
	Internal   bool   // a repartition topic, that the application creates and alone uses
	Partitions int    // of an internal topic: how many are asked for; 0 as many as what it is joined with or made of
	Key, Value string // names of the codecs
}

// Store is a store and its changelog.
type Store struct {
	Name       string
	Kind       string // "kv", "window", "session"
	Key, Value string // names of the codecs
	Windows    string // what decides on the windows, such as "tumbling 5m0s"; "" without. What may change freely, such as grace, is not in it
}

// Add appends a node and returns it.
func (t *Topology) Add(n *Node) *Node {
	t.Nodes = append(t.Nodes, n)
	return n
}

// AddTopic notes a topic. The same description twice is one topic; another one of the same name is a mistake that Check finds.
func (t *Topology) AddTopic(topic Topic) {
	if !slices.ContainsFunc(t.Topics, func(other *Topic) bool { return *other == topic }) {
		t.Topics = append(t.Topics, &topic)
	}
}

// AddStore notes a store, like AddTopic. A description that lacks the windows matches one that has them, which stays.
func (t *Topology) AddStore(store Store) {
	for _, other := range t.Stores {
		bare, otherBare := store, *other
		bare.Windows, otherBare.Windows = "", ""
		if bare == otherBare && (store.Windows == "" || other.Windows == "" || store.Windows == other.Windows) {
			other.Windows = cmp.Or(other.Windows, store.Windows)
			return
		}
	}
	t.Stores = append(t.Stores, &store)
}

// Node returns the node of a name, nil if there is none.
func (t *Topology) Node(name string) *Node {
	return find(t.Nodes, func(n *Node) bool { return n.Name == name })
}

// Topic returns the topic of a name, nil if there is none.
func (t *Topology) Topic(name string) *Topic {
	return find(t.Topics, func(topic *Topic) bool { return topic.Name == name })
}

// Store returns the store of a name, nil if there is none.
func (t *Topology) Store(name string) *Store {
	return find(t.Stores, func(s *Store) bool { return s.Name == name })
}

func find[T any](all []*T, is func(*T) bool) *T {
	if at := slices.IndexFunc(all, is); at >= 0 {
		return all[at]
	}
	return nil
}
