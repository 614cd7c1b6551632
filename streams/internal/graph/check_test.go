package graph

import (
	"strings"
	"testing"
)

func TestMistakesAreNamed(t *testing.T) {
	if err := wordCount(0).Check(); err != nil {
		t.Errorf("word count: %v", err)
	}
	for want, spoil := range map[string]func(*Topology){
		"node words: a second node has this name":                         func(t *Topology) { t.Add(&Node{Name: "words", Kind: Source, Topics: []string{"lines"}}) },
		"node lonely: nothing comes in":                                   func(t *Topology) { t.Add(&Node{Name: "lonely", Kind: Operation}) },
		"node x: topic nowhere is not described":                          func(t *Topology) { t.Add(&Node{Name: "x", Kind: Source, Topics: []string{"nowhere"}}) },
		"node lines: store nothing is not described":                      func(t *Topology) { t.Node("lines").Stores = []string{"nothing"} },
		"topic lines: its codecs are string and string in one place":      func(t *Topology) { t.AddTopic(Topic{Name: "lines", Key: "string", Value: "int64"}) },
		"topic words: it is used for repartitioning in two ways":          func(t *Topology) { t.AddTopic(Topic{Name: "words", Key: "string", Value: "string"}) },
		"store word-counts: it is described as kv of string to int64 and": func(t *Topology) { t.AddStore(Store{Name: "word-counts", Kind: "kv", Key: "string", Value: "json"}) },
		`topic "a b": a name has a-z, A-Z, 0-9`:                           func(t *Topology) { t.AddTopic(Topic{Name: "a b"}) },
		`store "": it has no name`:                                        func(t *Topology) { t.AddStore(Store{}) },
		"topic words: it is written for repartitioning and nothing reads": func(t *Topology) { t.Node("words").Topics = []string{"lines"} },
		"store word-counts: a topic that another part": func(t *Topology) {
			t.AddTopic(Topic{Name: "word-counts"})
			t.Add(&Node{Name: "again", Kind: Source, Topics: []string{"word-counts"}})
		},
		"the topology reads no topic": func(t *Topology) { *t = Topology{} },
	} {
		topology := wordCount(0)
		spoil(topology)
		if err := topology.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
