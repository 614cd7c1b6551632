package arch

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	dependencies = "docs/decisions/0001-dependencies.md"
	nested       = "docs/decisions/0002-modules-of-their-own.md"
)

// required is a line of go.mod that requires a module; "// indirect" where nothing of this module imports it.
var (
	required = regexp.MustCompile(`(?m)^(?:require)?\s+([a-zA-Z0-9./_-]+) v\S+(.*)$`)
	tool     = regexp.MustCompile(`(?m)^tool (\S+)$`)
)

// directModules are the modules of which the sources import a package, and those of tools.
func directModules(goMod string, sources []source) []string {
	var all []string
	for _, line := range required.FindAllStringSubmatch(goMod, -1) {
		all = append(all, line[1])
	}
	var imports []string
	for _, s := range sources {
		imports = append(imports, s.imports...)
	}
	for _, line := range tool.FindAllStringSubmatch(goMod, -1) {
		imports = append(imports, line[1])
	}
	var direct []string
	for _, imported := range imports {
		best := ""
		for _, m := range all {
			if len(m) > len(best) && (imported == m || strings.HasPrefix(imported, m+"/")) {
				best = m
			}
		}
		if best != "" && !slices.Contains(direct, best) {
			direct = append(direct, best)
		}
	}
	return direct
}

// checkReasons finds modules without a line in the page, and lines about modules that are not needed.
func checkReasons(name, page string, modules []string) (violations []string) {
	reasons := map[string]bool{}
	for line := range strings.Lines(page) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			reasons[m[1]] = true
		}
	}
	for _, m := range modules {
		if !reasons[m] {
			violations = append(violations, fmt.Sprintf("%s gives no reason for %s", name, m))
		}
		delete(reasons, m)
	}
	for m := range reasons {
		violations = append(violations, fmt.Sprintf("%s gives a reason for %s, which nothing needs", name, m))
	}
	return violations
}

func TestEachDependencyHasItsReason(t *testing.T) {
	tree := os.DirFS(root)
	read := func(name string) string {
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	violations := checkReasons(dependencies, read(dependencies), directModules(read("go.mod"), load(t, tree)))
	var others []string
	for _, directory := range []string{"bench", "e2e/clients"} {
		sub, err := fs.Sub(tree, directory)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range directModules(read(directory+"/go.mod"), load(t, sub)) {
			if !slices.Contains(others, m) {
				others = append(others, m)
			}
		}
	}
	for _, violation := range append(violations, checkReasons(nested, read(nested), others)...) {
		t.Error(violation)
	}
}

func TestMissingReasonsAreNoticed(t *testing.T) {
	const page = "| module | for |\n|---|---|\n| `a.b/c`, `a.b/c/d` | x |\n"
	for modules, want := range map[string]string{
		"a.b/c a.b/c/d":     "",
		"a.b/c":             "reason for a.b/c/d, which nothing needs",
		"a.b/c a.b/c/d e.f": "no reason for e.f",
	} {
		violations := checkReasons("page", page, strings.Fields(modules))
		if want == "" && len(violations) > 0 || want != "" && (len(violations) != 1 || !strings.Contains(violations[0], want)) {
			t.Errorf("%s: %q, want %q", modules, violations, want)
		}
	}
	const goMod = "module x\n\nrequire (\n\ta.b/c v1.0.0\n\ta.b/c/d v1.0.0 // indirect\n\te.f v1.2.3\n\tg.h v0.1.0\n)\n\ntool g.h/cmd/g\n"
	direct := directModules(goMod, []source{{imports: []string{"fmt", "a.b/c/d/x", "a.b/c/y"}}})
	if want := []string{"a.b/c/d", "a.b/c", "g.h"}; !slices.Equal(direct, want) {
		t.Errorf("direct modules %q, want %q", direct, want)
	}
}
