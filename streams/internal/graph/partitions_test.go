package graph

import (
	"maps"
	"reflect"
	"strings"
	"testing"
)

// wordCount is "lines", split into words, which a repartition topic brings together for a store.
func wordCount(partitions int) *Topology {
	t := &Topology{}
	t.AddTopic(Topic{Name: "lines", Key: "string", Value: "string"})
	t.AddTopic(Topic{Name: "words", Internal: true, Partitions: partitions, Key: "string", Value: "string"})
	t.AddTopic(Topic{Name: "counts", Key: "string", Value: "int64"})
	t.AddStore(Store{Name: "word-counts", Kind: "kv", Key: "string", Value: "int64"})
	lines := t.Add(&Node{Name: "lines", Kind: Source, Operator: "source", Topics: []string{"lines"}})
	split := t.Add(&Node{Name: "op-1", Kind: Operation, Operator: "flat-map-values", Parents: []*Node{lines}})
	t.Add(&Node{Name: "words-sink", Kind: Sink, Operator: "repartition", Parents: []*Node{split}, Topics: []string{"words"}})
	words := t.Add(&Node{Name: "words", Kind: Source, Operator: "source", Topics: []string{"words"}})
	count := t.Add(&Node{Name: "word-counts", Kind: Operation, Operator: "count", Parents: []*Node{words}, Stores: []string{"word-counts"}})
	t.Add(&Node{Name: "counts", Kind: Sink, Operator: "sink", Parents: []*Node{count}, Topics: []string{"counts"}})
	return t
}

// enrich joins "orders" with a table of "users".
func enrich() *Topology {
	t := &Topology{}
	t.AddTopic(Topic{Name: "orders", Key: "string", Value: "json"})
	t.AddTopic(Topic{Name: "users", Key: "string", Value: "json"})
	t.AddStore(Store{Name: "users", Kind: "kv", Key: "string", Value: "json"})
	users := t.Add(&Node{Name: "users", Kind: Source, Operator: "source", Topics: []string{"users"}})
	t.Add(&Node{Name: "users-table", Kind: Operation, Operator: "table", Parents: []*Node{users}, Stores: []string{"users"}})
	orders := t.Add(&Node{Name: "orders", Kind: Source, Operator: "source", Topics: []string{"orders"}})
	t.Add(&Node{Name: "op-1", Kind: Operation, Operator: "join", Parents: []*Node{orders}, Stores: []string{"users"}})
	return t
}

func TestSubtopologiesAreCutAtInternalTopics(t *testing.T) {
	parts := wordCount(0).Subtopologies()
	if len(parts) != 2 || parts[0].Name != "lines" || parts[1].Name != "word-counts" {
		t.Fatalf("%d sub-topologies: %+v", len(parts), parts)
	}
	if got := parts[0].Sinks; !reflect.DeepEqual(got, []string{"words"}) {
		t.Errorf("the first writes %q", got)
	}
	if got := parts[1].Sources; !reflect.DeepEqual(got, []string{"words"}) {
		t.Errorf("the second reads %q", got)
	}
	if tasks := parts[1].Tasks(map[string]int{"words": 3}); tasks != 3 {
		t.Errorf("%d tasks", tasks)
	}
}

func TestASharedStoreOrTopicHoldsTogether(t *testing.T) {
	if parts := enrich().Subtopologies(); len(parts) != 1 || parts[0].Name != "users" || len(parts[0].Stores) != 1 {
		t.Errorf("a shared store: %+v", parts)
	}
	twice := &Topology{}
	twice.AddTopic(Topic{Name: "a"})
	twice.Add(&Node{Name: "a", Kind: Source, Topics: []string{"a"}})
	twice.Add(&Node{Name: "a-2", Kind: Source, Topics: []string{"a"}})
	if parts := twice.Subtopologies(); len(parts) != 1 || len(parts[0].Nodes) != 2 {
		t.Errorf("a topic that is read twice: %+v", parts)
	}
}

func TestPartitionsOfInternalTopicsFollow(t *testing.T) {
	for name, c := range map[string]struct {
		topology *Topology
		existing map[string]int
		want     map[string]int
		err      string
	}{
		"derived":           {wordCount(0), map[string]int{"lines": 4}, map[string]int{"lines": 4, "words": 4}, ""},
		"asked for":         {wordCount(7), map[string]int{"lines": 4}, map[string]int{"lines": 4, "words": 7}, ""},
		"it exists":         {wordCount(0), map[string]int{"lines": 4, "words": 2}, map[string]int{"lines": 4, "words": 2}, ""},
		"it exists, others": {wordCount(7), map[string]int{"lines": 4, "words": 2}, nil, "topic words: it has 2 partitions, the topology asks for 7"},
		"missing":           {enrich(), map[string]int{}, nil, "no topic orders, no topic users: create it first"},
		"joined":            {enrich(), map[string]int{"orders": 2, "users": 2}, map[string]int{"orders": 2, "users": 2}, ""},
		"do not match":      {enrich(), map[string]int{"orders": 2, "users": 3}, nil, "topics users and orders have 3 and 2 partitions"},
	} {
		got, err := c.topology.Partitions(c.existing)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", name, err, c.err)
			}
			continue
		}
		if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: %v (%v), want %v", name, got, err, c.want)
		}
	}
}

func TestAnInternalTopicMatchesWhatItIsJoinedWith(t *testing.T) {
	topology := enrich()
	topology.Node("orders").Topics = []string{"by-user"}
	topology.AddTopic(Topic{Name: "by-user", Internal: true})
	topology.Add(&Node{Name: "x", Kind: Sink, Topics: []string{"by-user"},
		Parents: []*Node{topology.Add(&Node{Name: "raw", Kind: Source, Topics: []string{"orders"}})}})
	got, err := topology.Partitions(map[string]int{"orders": 8, "users": 3})
	if err != nil || got["by-user"] != 3 {
		t.Errorf("%v (%v), want 3 as users has", got, err)
	}
}

func TestATopicThatFeedsItselfNeedsACount(t *testing.T) {
	topology := &Topology{}
	topology.AddTopic(Topic{Name: "loop", Internal: true})
	in := topology.Add(&Node{Name: "loop", Kind: Source, Topics: []string{"loop"}})
	topology.Add(&Node{Name: "back", Kind: Sink, Topics: []string{"loop"}, Parents: []*Node{in}})
	if _, err := topology.Partitions(nil); err == nil || !strings.Contains(err.Error(), "topic loop: its partition count depends on itself") {
		t.Errorf("%v", err)
	}
}
