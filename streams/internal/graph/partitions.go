package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// CopartitionSets returns the groups of source topics that must have the same number of partitions, since the same store or
// the same node with a store sees records of all of them. Topics that stand alone are in none.
func (t *Topology) CopartitionSets() [][]string {
	together, listed := newSets(), []string{}
	for _, store := range t.Stores {
		topics := t.StoreTopics(store.Name)
		for _, topic := range topics {
			together.join(topics[0], topic)
		}
		listed = appendNew(listed, topics...)
	}
	var all [][]string
	at := map[string]int{}
	for _, topic := range listed {
		root := together.root(topic)
		if _, known := at[root]; !known {
			at[root] = len(all)
			all = append(all, nil)
		}
		all[at[root]] = append(all[at[root]], topic)
	}
	return slices.DeleteFunc(all, func(set []string) bool { return len(set) < 2 })
}

// StoreTopics returns the source topics whose records come to the nodes of a store.
func (t *Topology) StoreTopics(store string) (topics []string) {
	for _, n := range t.Nodes {
		if slices.Contains(n.Stores, store) {
			topics = appendNew(topics, upstream(n)...)
		}
	}
	return topics
}

// upstream returns the topics from which records come to a node, without those behind an internal topic.
func upstream(n *Node) (topics []string) {
	seen := map[*Node]bool{}
	var walk func(*Node)
	walk = func(n *Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if n.Kind == Source {
			topics = appendNew(topics, n.Topics...)
		}
		for _, parent := range n.Parents {
			walk(parent)
		}
	}
	walk(n)
	return topics
}

// Partitions completes the partition counts of the topics that exist by those of the internal topics: what was asked for, else
// as many as the topics that it has to match, else as many as there are tasks that write it. It does not change existing.
// Internal topics that exist already are to be in it too: their count stands. The error names every topic that is missing
// and every pair that does not match.
func (t *Topology) Partitions(existing map[string]int) (map[string]int, error) {
	counts, missing := t.known(existing)
	if len(missing) > 0 {
		return nil, fmt.Errorf("no topic %s: create it first", strings.Join(missing, ", no topic "))
	}
	subtopologies, copartitioned := t.Subtopologies(), t.CopartitionSets()
	for changed := true; changed; {
		changed = false
		for _, topic := range t.Topics {
			if counts[topic.Name] > 0 || !topic.Internal {
				continue
			}
			if n := derived(topic.Name, counts, subtopologies, copartitioned); n > 0 {
				counts[topic.Name], changed = n, true
			}
		}
	}
	return counts, t.checkCounts(counts, copartitioned)
}

// known returns the counts that do not depend on others, and the external sources that have none.
func (t *Topology) known(existing map[string]int) (counts map[string]int, missing []string) {
	counts = map[string]int{}
	for _, topic := range t.Topics {
		switch n := existing[topic.Name]; {
		case n > 0:
			counts[topic.Name] = n
		case topic.Internal:
			if topic.Partitions > 0 {
				counts[topic.Name] = topic.Partitions
			}
		case t.isSource(topic.Name):
			missing = append(missing, topic.Name)
		}
	}
	return counts, missing
}

func (t *Topology) isSource(topic string) bool {
	return slices.ContainsFunc(t.Nodes, func(n *Node) bool { return n.Kind == Source && slices.Contains(n.Topics, topic) })
}

// derived returns how many partitions an internal topic gets, 0 if that is not known yet.
func derived(topic string, counts map[string]int, subtopologies []*Subtopology, copartitioned [][]string) int {
	for _, set := range copartitioned {
		if !slices.Contains(set, topic) {
			continue
		}
		for _, other := range set {
			if counts[other] > 0 {
				return counts[other]
			}
		}
	}
	most := 0
	for _, s := range subtopologies {
		if !slices.Contains(s.Sinks, topic) {
			continue
		}
		for _, source := range s.Sources {
			if counts[source] == 0 && source != topic {
				return 0
			}
		}
		most = max(most, s.Tasks(counts))
	}
	return most
}

func (t *Topology) checkCounts(counts map[string]int, copartitioned [][]string) error {
	var mistakes []error
	for _, topic := range t.Topics {
		if topic.Internal && counts[topic.Name] == 0 {
			mistakes = append(mistakes, fmt.Errorf(
				"topic %s: its partition count depends on itself: give it one with WithPartitions", topic.Name))
		}
		if n := counts[topic.Name]; topic.Internal && topic.Partitions > 0 && n != topic.Partitions {
			mistakes = append(mistakes, fmt.Errorf("topic %s: it has %d partitions, the topology asks for %d: "+
				"its keys are spread over %[2]d; keep that number, or reset the application", topic.Name, n, topic.Partitions))
		}
	}
	for _, set := range copartitioned {
		for _, other := range set[1:] {
			if a, b := counts[set[0]], counts[other]; a != b && a > 0 && b > 0 {
				mistakes = append(mistakes, fmt.Errorf("topics %s and %s have %d and %d partitions but meet in one store, which needs "+
					"the same number: repartition one of them", set[0], other, a, b))
			}
		}
	}
	return errors.Join(mistakes...)
}
