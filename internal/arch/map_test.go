package arch

import (
	"fmt"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const architecture = "docs/ARCHITECTURE.md"

// The file map of docs/ARCHITECTURE.md has a heading for each package and a line for each of its files:
//
//	### `log`
//	- `read.go`, `headers.go`: where batches lie
//
// A name may be a pattern. Tests are not in the map.
var (
	mapHeading = regexp.MustCompile("^### `([^`]+)`")
	mapLine    = regexp.MustCompile("^- (`[^`]+`(?:, `[^`]+`)*): .")
	quoted     = regexp.MustCompile("`([^`]+)`")
	testName   = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
)

// checkMap holds the map against the tree and the sources of its main module.
func checkMap(page string, tree fs.FS, sources []source) (violations []string) {
	_, fileMap, ok := strings.Cut(page, "\n## File map\n")
	if !ok {
		return []string{architecture + " has no file map"}
	}
	mapped := map[string][]string{} // directory -> patterns
	directory := ""
	for line := range strings.Lines(fileMap) {
		if strings.HasPrefix(line, "## ") {
			break
		}
		if heading := mapHeading.FindStringSubmatch(line); heading != nil {
			directory = heading[1]
			mapped[directory] = nil
			continue
		}
		names := mapLine.FindStringSubmatch(line)
		if names == nil {
			continue
		}
		for _, name := range quoted.FindAllStringSubmatch(names[1], -1) {
			mapped[directory] = append(mapped[directory], name[1])
			if found, err := fs.Glob(tree, path.Join(directory, name[1])); err != nil || len(found) == 0 {
				violations = append(violations, fmt.Sprintf("%s names %s, which is not there", architecture, path.Join(directory, name[1])))
			}
		}
	}
	for _, s := range sources {
		if s.isTest {
			continue
		}
		patterns, ok := mapped[s.directory()]
		if !ok {
			violations = append(violations, fmt.Sprintf("%s: package %s has no heading in the file map", architecture, s.directory()))
			mapped[s.directory()] = []string{"*"} // once is enough
			continue
		}
		matches := func(pattern string) bool {
			matched, _ := path.Match(pattern, path.Base(s.name))
			return matched
		}
		if !slices.ContainsFunc(patterns, matches) {
			violations = append(violations, fmt.Sprintf("%s: %s is missing in the file map, half a line will do", architecture, s.name))
		}
	}
	return violations
}

// checkNamedTests finds tests that a page names and that are not there.
func checkNamedTests(name, page string, tests map[string]bool) (violations []string) {
	for _, test := range testName.FindAllString(page, -1) {
		if !tests[test] {
			violations = append(violations, fmt.Sprintf("%s names %s, which is not there", name, test))
		}
	}
	return violations
}

func testsOf(sources []source) map[string]bool {
	tests := map[string]bool{}
	for _, s := range sources {
		for _, d := range s.syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.isTest && f.Recv == nil {
				tests[f.Name.Name] = true
			}
		}
	}
	return tests
}

// checkSnippets finds Go code on a page that is not in the examples, line by line, where the compiler sees it.
func checkSnippets(page, examples string) (violations []string) {
	unindented := func(text string) string {
		var lines strings.Builder
		for line := range strings.Lines(text) {
			lines.WriteString(strings.TrimSpace(line) + "\n")
		}
		return lines.String()
	}
	for _, part := range strings.Split(page, "```go\n")[1:] {
		snippet, _, _ := strings.Cut(part, "```")
		if !strings.Contains(unindented(examples), unindented(snippet)) {
			violations = append(violations, "no example has this code:\n"+snippet)
		}
	}
	return violations
}

func TestGoOnPagesIsInAnExample(t *testing.T) {
	tree := os.DirFS(root)
	read := func(name string) string {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	examples := read("broker/example_test.go") + read("consumer/example_test.go")
	for _, pattern := range []string{"examples/*/*.go", "streams/*_test.go", "streams/streamstest/example_test.go"} {
		programs, err := fs.Glob(tree, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range programs {
			examples += read(program)
		}
	}
	pages, err := fs.Glob(tree, "docs/streams/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "README.md", "docs/consumer.md", "docs/streams.md") {
		for _, violation := range checkSnippets(read(page), examples) {
			t.Error(page + ": " + violation)
		}
	}
}

func TestArchitecturePageNamesEveryPackageAndFile(t *testing.T) {
	tree := os.DirFS(root)
	page, err := fs.ReadFile(tree, architecture)
	if err != nil {
		t.Fatal(err)
	}
	for _, violation := range checkMap(string(page), tree, load(t, tree)) {
		t.Error(violation)
	}
}

func TestPagesNameTestsThatExist(t *testing.T) {
	tree := os.DirFS(root)
	tests := testsOf(load(t, tree))
	pages, err := fs.Glob(tree, "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := fs.Glob(tree, "docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(pages, decisions...) {
		page, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, violation := range checkNamedTests(name, string(page), tests) {
			t.Error(violation)
		}
	}
}

func TestPagesThatLieAreNoticed(t *testing.T) {
	tree := fstest.MapFS{
		"log/read.go":      {Data: []byte("package log")},
		"log/read_test.go": {Data: []byte("package log\nfunc TestRead() {}")},
		"log/write.go":     {Data: []byte("package log")},
		"state/a.go":       {Data: []byte("package state")},
	}
	sources := load(t, tree)
	page := func(lines ...string) string {
		return "# x\n\n## File map\n" + strings.Join(lines, "\n") + "\n## After\n- `no.go`: y\n"
	}
	for name, c := range map[string]struct {
		page string
		want string // part of the one violation; "": none
	}{
		"whole":          {page("### `log`", "- `read.go`, `w*.go`: x", "### `state`", "- `a.go`: x"), ""},
		"no map":         {"# x\n", "no file map"},
		"file missing":   {page("### `log`", "- `read.go`: x", "### `state`", "- `a.go`: x"), "log/write.go is missing"},
		"missing":        {page("### `log`", "- `read.go`, `write.go`: x"), "package state has no heading"},
		"file gone":      {page("### `log`", "- `*.go`: x", "- `old.go`: x", "### `state`", "- `a.go`: x"), "log/old.go, which is not there"},
		"says nothing":   {page("### `log`", "- `*.go`: x", "### `state`", "- `a.go`"), "state/a.go is missing"},
		"line elsewhere": {page("### `log`", "- `*.go`: x", "- `a.go`: x", "### `state`", "- `a.go`: x"), "log/a.go, which is not there"},
	} {
		violations := checkMap(c.page, tree, sources)
		switch {
		case c.want == "" && len(violations) > 0, c.want != "" && (len(violations) != 1 || !strings.Contains(violations[0], c.want)):
			t.Errorf("%s: %q, want %q", name, violations, c.want)
		}
	}
	for snippet, want := range map[string]int{"a()\n\tb()\n": 0, "b()\n": 0, "a()\nc()\n": 1} {
		if violations := checkSnippets("x\n```go\n"+snippet+"```\n", "func f() {\n\ta()\n\t\tb()\n}\n"); len(violations) != want {
			t.Errorf("%s: %q", snippet, violations)
		}
	}
	for text, want := range map[string]int{"(TestRead)": 0, "TestReads, FuzzRead": 2, "Testing": 0} {
		if violations := checkNamedTests("x.md", text, testsOf(sources)); len(violations) != want {
			t.Errorf("%s: %q", text, violations)
		}
	}
}
