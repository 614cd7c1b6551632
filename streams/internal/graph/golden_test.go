package graph

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

// views counts page views in windows, with late records and dead letters, whose names need escaping where they may.
func views() *Topology {
	t := &Topology{}
	for _, name := range []string{"page-views", "views-5m", "late", "dead"} {
		t.AddTopic(Topic{Name: name, Key: "string", Value: "json"})
	}
	t.AddStore(Store{Name: "views-5m", Kind: "window", Key: "string", Value: "int64", Windows: "tumbling 5m0s"})
	source := t.Add(&Node{Name: "page-views", Kind: Source, Operator: "source", Topics: []string{"page-views"}})
	try := t.Add(&Node{Name: `parse "v2" #1`, Kind: Operation, Operator: "try-map-values", Parents: []*Node{source}, DeadLetters: "dead"})
	count := t.Add(&Node{Name: "views-5m", Kind: Operation, Operator: "count windows", Parents: []*Node{try}, Stores: []string{"views-5m"}})
	t.Add(&Node{Name: "views-5m-2", Kind: Sink, Operator: "sink", Parents: []*Node{count}, Topics: []string{"views-5m"}})
	t.Add(&Node{Name: "late", Kind: Sink, Operator: "sink", Parents: []*Node{count}, Edge: "late", Topics: []string{"late"}})
	return t
}

func TestDescriptionsLookAsTheyDid(t *testing.T) {
	for name, d := range map[string]Description{
		"wordcount":         wordCount(0).Describe("", nil),
		"wordcount-running": wordCount(0).Describe("counting", map[string]int{"lines": 4, "words": 4}),
		"views":             views().Describe("", nil),
		"enrich":            enrich().Describe("shop", map[string]int{"orders": 1, "users": 1}),
	} {
		text, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		for suffix, got := range map[string]string{".txt": d.String(), ".dot": d.DOT(), ".mmd": d.Mermaid(), ".json": string(text) + "\n"} {
			file := filepath.Join("testdata", name+suffix)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s, after go test -update:\n%s", file, got)
			}
		}
		var again Description
		if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%s is another one after it was read (%v):\n%+v\n%+v", name, err, again, d)
		}
	}
}
