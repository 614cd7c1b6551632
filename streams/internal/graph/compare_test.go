package graph

import (
	"slices"
	"strings"
	"testing"
)

func TestChangesOfATopology(t *testing.T) {
	counts := map[string]int{"lines": 4, "words": 4}
	for name, c := range map[string]struct {
		change  func(*Topology)
		counts  map[string]int
		added   string
		removed string
		changed string
		refused string
	}{
		"nothing":          {},
		"a stateless step": {change: func(t *Topology) { t.Node("op-1").Operator = "flat-map" }},
		"a store more": {change: func(t *Topology) {
			t.AddStore(Store{Name: "seen", Kind: "kv"})
			t.Node("counts").Stores = []string{"seen"}
		}, added: "seen"},
		"a store less":       {change: func(t *Topology) { t.Stores, t.Node("word-counts").Stores = nil, nil }, removed: "word-counts"},
		"another codec":      {change: func(t *Topology) { t.Store("word-counts").Value = "json" }, refused: `store word-counts is described as kv of string to json, what is stored is kv of string to int64: give the new store another name, or delete what is stored with "millrace streams reset app"`},
		"another kind":       {change: func(t *Topology) { t.Store("word-counts").Kind = "session" }, refused: "store word-counts is described as session of"},
		"other windows":      {change: func(t *Topology) { t.Store("word-counts").Windows = "tumbling 1m0s" }, refused: "store word-counts is described as kv of string to int64, tumbling 1m0s"},
		"a source grew":      {counts: map[string]int{"lines": 8, "words": 4}, changed: "topic lines has 8 partitions, before 4"},
		"keys were spread":   {counts: map[string]int{"lines": 4, "words": 8}, refused: "topic words has 8 partitions, it had 4, over which the keys of store word-counts are spread"},
		"other records":      {change: func(t *Topology) { t.Topic("lines").Value = "json" }, changed: "topic lines is read with codecs string and json"},
		"records on the way": {change: func(t *Topology) { t.Topic("words").Value = "json" }, refused: "topic words is described with codecs string and json, the records that are in it have string and string"},
		"from elsewhere":     {change: func(t *Topology) { t.Node("words").Topics = []string{"lines"} }, changed: "store word-counts gets its records from lines, before from words"},
		"more tasks": {change: func(t *Topology) {
			t.AddTopic(Topic{Name: "wide"})
			t.Add(&Node{Name: "echo", Kind: Sink, Topics: []string{"counts"},
				Parents: []*Node{t.Add(&Node{Name: "wide", Kind: Source, Topics: []string{"wide"}}), t.Node("word-counts")}})
		}, counts: map[string]int{"lines": 4, "words": 4, "wide": 9}, refused: "store word-counts is in a part of the topology with 9 tasks, its changelog has 4 partitions"},
	} {
		now := wordCount(0)
		if c.change != nil {
			c.change(now)
		}
		if c.counts == nil {
			c.counts = counts
		}
		before, after := wordCount(0).Describe("app", counts), now.Describe("app", c.counts)
		got := Compare(before, after)
		for what, pair := range map[string][2]string{"added": {strings.Join(got.Added, "; "), c.added}, "removed": {strings.Join(got.Removed, "; "), c.removed},
			"changed": {strings.Join(got.Changed, "; "), c.changed}, "refused": {strings.Join(got.Refused, "; "), c.refused}} {
			if pair[1] == "" && pair[0] != "" || !strings.HasPrefix(pair[0], pair[1]) {
				t.Errorf("%s: %s: %q, want %q", name, what, pair[0], pair[1])
			}
		}
		if (got.Err() != nil) != (c.refused != "") {
			t.Errorf("%s: %v", name, got.Err())
		}
		same := slices.Contains([]string{"nothing", "a stateless step"}, name)
		if (before.Fingerprint == after.Fingerprint) != same {
			t.Errorf("%s: fingerprints %s and %s", name, before.Fingerprint, after.Fingerprint)
		}
	}
}
