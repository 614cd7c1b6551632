package streams_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
)

func TestATopologyDescribesItself(t *testing.T) {
	topology := streams.NewTopology()
	words := streams.From(topology, streams.NewTopic("lines", serde.String, serde.String))
	split := streams.GroupBy(words, streams.NewTopic("words", serde.String, serde.String), func(_, word string) string { return word })
	split.Count(state.NewKV("word-counts", serde.String, serde.Int64)).ToStream().To(streams.NewTopic("counts", serde.String, serde.Int64))
	if err := topology.Err(); err != nil {
		t.Fatal(err)
	}
	d := topology.Describe()
	for _, want := range []string{"sub-topology lines\n", "sub-topology word-counts\n", "has word-counts", "writes words", "reads words",
		"writes counts", "kv, string to int64", "internal"} {
		if !strings.Contains(d.String(), want) {
			t.Errorf("no %q in\n%s", want, d)
		}
	}
	if again := topology.Describe(); again.DOT() != d.DOT() || again.Mermaid() != d.Mermaid() || again.Fingerprint != d.Fingerprint {
		t.Error("it describes itself differently each time")
	}
}
