package arch

import (
	"strings"
	"testing"
	"testing/fstest"
)

// TestEachRuleNoticesWhatBreaksIt builds small modules that break one rule each, and close relatives that break none.
func TestEachRuleNoticesWhatBreaksIt(t *testing.T) {
	const doc = "// Package x is.\n"
	cases := []struct {
		rule, file, text string
		want             string // part of the violation; "": none
	}{
		{"imports", "broker/a.go", `package x; import "` + franz + `/pkg/kgo"`, "broker may not import"},
		{"imports", "broker/a.go", `package x; import "` + kmsg + `"`, ""},
		{"imports", "broker/a_test.go", `package x; import "` + franz + `/pkg/kgo"`, ""},
		{"imports", "broker/internal/partition/a.go", `package x; import "` + module + `/consumer"`, "may not import"},
		{"imports", "broker/internal/config/a.go", `package x; import "` + prometheus + `/client_golang"`, "may not import"},
		{"imports", "streams/internal/engine/a.go", `package x; import "` + module + `/broker"`, "may not import"},
		{"imports", "streams/internal/engine/a.go", `package x; import "` + module + `/streams/internal/graph"`, ""},
		{"imports", "streams/a.go", `package x; import "` + module + `/log/record"`, "may not import"},
		{"imports", "log/a.go", `package x; import "` + kmsg + `"`, "log may not import"},
		{"imports", "log/record/a.go", `package x; import "` + disk + `"`, "log/record may not import"},
		{"imports", "log/record/a.go", `package x; import "` + compress + `/zstd"`, ""},
		{"imports", "windows/a.go", `package x; import "` + module + `/internal/invariant"`, "windows may not import"},
		{"imports", "cmd/millrace/a.go", `package x; import "` + module + `/broker/internal/group"`, "may not import"},
		{"imports", "internal/disk/a.go", `package x; import "golang.org/x/sys/unix"`, "may not import"},
		{"imports", "util/a.go", `package x`, "no row"},
		{"no standard log", "broker/a_test.go", `package x; import "log"`, "standard library's log"},
		{"no standard log", "broker/a.go", `package x; import "log/slog"`, ""},
		{"no standard log", "broker/a.go", `package x; import "` + module + `/log"`, ""},
		{"pure cores", "windows/a.go", `package x; import "time"; var n = time.Now()`, "looks at the clock"},
		{"pure cores", "windows/a.go", `package x; import clock "time"; var n = clock.Now`, "looks at the clock"},
		{"pure cores", "windows/a.go", `package x; import "time"; var n time.Duration`, ""},
		{"pure cores", "windows/a_test.go", `package x; import "time"; var n = time.Now()`, ""},
		{"pure cores", "broker/internal/group/a.go", `package x; import "os"`, "imports os"},
		{"pure cores", "broker/internal/metadata/a.go", `package x; import "net"`, "imports net"},
		{"pure cores", "broker/internal/txn/a.go", `package x; func f() { go f() }`, "starts a goroutine"},
		{"pure cores", "windows/a.go", `package x; import "math/rand/v2"; var n = rand.IntN(3)`, "global source"},
		{"pure cores", "windows/a.go", `package x; import "math/rand/v2"; var n *rand.Rand`, ""},
		{"pure cores", "broker/a.go", `package x; import "os"; func f() { go f() }`, ""},
		{"no goroutines in log", "log/a.go", `package x; func f() { go f() }`, "starts a goroutine"},
		{"tests never sleep", "broker/a_test.go", `package x; import "time"; func f() { time.Sleep(1) }`, "a test sleeps"},
		{"tests never sleep", "broker/a_test.go", `package x; import ("testing/synctest"; "time")
			func f() { synctest.Test(nil, func(t *testing.T) { time.Sleep(1) }) }`, ""},
		{"tests never sleep", "broker/a_test.go", `package x; import ("testing/synctest"; "time")
			func f() { synctest.Test(nil, func(t *testing.T) {}); time.Sleep(1) }`, "a test sleeps"},
		{"tests never sleep", "broker/a.go", `package x; import "time"; func f() { time.Sleep(1) }`, ""},
		{"package comments", "state/a.go", "package x", "has a package comment"},
		{"package comments", "state/a.go", doc + "package x", ""},
		{"file sizes", "log/a.go", "package x" + strings.Repeat("\n", linesMax+1), "801 lines"},
		{"file sizes", "log/a.go", "package x" + strings.Repeat("\n", linesMax), ""},
		{"file sizes", "log/a_test.go", "package x" + strings.Repeat("\n", 2*linesMax), ""},
		{"file sizes", "cmd/millrace/main.go", "package x" + strings.Repeat("\n", mainLinesMax+1), "at most 50"},
		{"nothing left to do", "log/a.go", "package x\n// TO" + "DO: later", "a comment says"},
		{"nothing left to do", "log/a.go", "package x\n// to do", ""},
		{"imports", "util/testdata/a.go", "package x", ""},
	}
	for _, c := range cases {
		violations := run(t, c.rule, fstest.MapFS{c.file: &fstest.MapFile{Data: []byte(c.text)}})
		switch {
		case c.want == "" && len(violations) > 0:
			t.Errorf("%s: %q in %s breaks it: %v", c.rule, c.text, c.file, violations)
		case c.want != "" && (len(violations) != 1 || !strings.Contains(violations[0], c.want)):
			t.Errorf("%s: %q in %s gives %v, want %q", c.rule, c.text, c.file, violations, c.want)
		}
	}
}

func run(t *testing.T, name string, tree fstest.MapFS) []string {
	t.Helper()
	for _, rule := range rules {
		if rule.name == name {
			return rule.check(load(t, tree))
		}
	}
	t.Fatalf("no rule %q", name)
	return nil
}

// TestNestedModulesAreLeftAlone keeps the rules off directories with a go.mod of their own.
func TestNestedModulesAreLeftAlone(t *testing.T) {
	tree := fstest.MapFS{
		"bench/go.mod":    &fstest.MapFile{Data: []byte("module bench\n")},
		"bench/x/main.go": &fstest.MapFile{Data: []byte(`package main; import "log"`)},
	}
	if sources := load(t, tree); len(sources) != 0 {
		t.Errorf("loaded %s", sources[0].name)
	}
}
