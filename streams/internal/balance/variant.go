package balance

import (
	"cmp"
	"maps"
	"slices"
)

// Variant is a sub-topology as some of the members know it: while a new release is rolled out, there may be two of one name.
type Variant struct {
	Name    string   `json:"name"`
	Hash    string   `json:"hash"`    // of what a member has to have in common to take over its tasks
	Sources []string `json:"sources"` // topics in Kafka that its tasks read
}

func (v Variant) key() string { return v.Name + "\x00" + v.Hash }

// Task is a variant for one partition.
type Task struct {
	Subtopology string
	Partition   int32
}

// Input is a partition of a topic.
type Input struct {
	Topic     string
	Partition int32
}

// choose returns the variants that are to run, ordered by name: no topic is in two of them. Those that more members know come
// first, so that a rollout ends with what is new.
func choose(members []Member) []Variant {
	known, count := map[string]Variant{}, map[string]int{}
	for _, m := range members {
		for _, v := range m.Variants {
			known[v.key()] = v
			count[v.key()]++
		}
	}
	order := slices.SortedFunc(maps.Keys(known), func(a, b string) int {
		return cmp.Or(count[b]-count[a], cmp.Compare(a, b))
	})
	var chosen []Variant
	taken, named := map[string]bool{}, map[string]bool{}
	for _, key := range order {
		v := known[key]
		if named[v.Name] || slices.ContainsFunc(v.Sources, func(topic string) bool { return taken[topic] }) {
			continue
		}
		chosen = append(chosen, v)
		named[v.Name] = true
		for _, topic := range v.Sources {
			taken[topic] = true
		}
	}
	slices.SortFunc(chosen, func(a, b Variant) int { return cmp.Compare(a.Name, b.Name) })
	return chosen
}

// tasks is how many tasks a variant has.
func (v Variant) tasks(partitions map[string]int32) (most int32) {
	for _, topic := range v.Sources {
		most = max(most, partitions[topic])
	}
	return most
}

// inputs returns the partitions that a task reads, ordered by topic.
func (v Variant) inputs(task int32, partitions map[string]int32) (inputs []Input) {
	for _, topic := range v.Sources {
		if task < partitions[topic] {
			inputs = append(inputs, Input{topic, task})
		}
	}
	slices.SortFunc(inputs, func(a, b Input) int { return cmp.Compare(a.Topic, b.Topic) })
	return slices.Compact(inputs)
}
