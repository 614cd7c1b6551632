package engine

import (
	"slices"

	"github.com/millrace/millrace/streams/internal/graph"
)

// Stores returns the names of the task's stores.
func (t *Task) Stores() (names []string) {
	for _, spec := range t.sub.Stores {
		names = append(names, spec.Name)
	}
	return names
}

// Spread returns over how many partitions the keys of one of the task's stores are spread, 0 if the task does not have it.
func (t *Task) Spread(store string) int {
	if !slices.ContainsFunc(t.sub.Subtopology.Stores, func(s *graph.Store) bool { return s.Name == store }) {
		return 0
	}
	topics := t.sub.Graph.StoreTopics(store)
	return t.site.environment.PartitionsOf(t.sub.Graph.KafkaTopic(t.site.environment.App, topics[0]))
}
