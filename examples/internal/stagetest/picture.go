// Package stagetest is what the tests of the examples have in common.
package stagetest

import (
	"flag"
	"os"
	"regexp"
	"testing"

	"github.com/millrace/millrace/streams"
)

var update = flag.Bool("update", false, "draw the pictures of README.md anew")

var drawn = regexp.MustCompile("(?s)```mermaid\n.*?```\n")

// Picture fails the test if the README.md of its directory does not show these topologies, in this order; with -update it draws them there.
func Picture(t testing.TB, topologies ...*streams.Topology) {
	t.Helper()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	pictures := drawn.FindAll(page, -1)
	if len(pictures) != len(topologies) {
		t.Fatalf("README.md has %d pictures, not %d", len(pictures), len(topologies))
	}
	i, stale := 0, false
	fresh := drawn.ReplaceAllFunc(page, func(picture []byte) []byte {
		want := "```mermaid\n" + topologies[i].Describe().Mermaid() + "```\n"
		i++
		stale = stale || want != string(picture)
		return []byte(want)
	})
	switch {
	case !stale:
	case !*update:
		t.Error("the picture in README.md is not the topology: run the test with -update")
	default:
		if err := os.WriteFile("README.md", fresh, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
