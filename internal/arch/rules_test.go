package arch

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
)

const (
	linesMax     = 800 // of a file that is no test
	mainLinesMax = 50  // of cmd/millrace/main.go
)

// rules are all that the sources must keep. check returns one line for each place that breaks the rule.
var rules = []struct {
	name  string
	check func([]source) []string
}{
	{"imports", checkImports},
	{"no standard log", checkStandardLog},
	{"pure cores", checkPureCores},
	{"no goroutines in log", checkNoGoroutines},
	{"tests never sleep", checkTestsNeverSleep},
	{"package comments", checkPackageComments},
	{"file sizes", checkFileSizes},
	{"nothing left to do", checkNothingLeftToDo},
}

// pureCores take time and randomness as arguments, start no goroutine and touch no file or socket.
var pureCores = []string{
	"windows",
	"broker/internal/config",
	"broker/internal/group",
	"broker/internal/metadata",
	"broker/internal/quota",
	"broker/internal/txn",
	"streams/internal/balance",
	"streams/internal/graph",
}

var (
	impureImports = []string{"os", "net", "net/http", "syscall", "crypto/rand", "math/rand", disk, memnet}
	clock         = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}
	// What math/rand/v2 draws from its global source; a *rand.Rand that is passed in is welcome.
	globalRandom = []string{"Int", "IntN", "Int32", "Int32N", "Int64", "Int64N", "Uint32", "Uint32N", "Uint64",
		"Uint64N", "UintN", "Uint", "Float32", "Float64", "N", "NormFloat64", "ExpFloat64", "Perm", "Shuffle"}
)

func checkPureCores(sources []source) (violations []string) {
	for _, s := range sources {
		if s.isTest || !slices.Contains(pureCores, s.directory()) {
			continue
		}
		for _, imported := range s.imports {
			if slices.Contains(impureImports, imported) {
				violations = append(violations, fmt.Sprintf("%s: a pure core imports %s", s.name, imported))
			}
		}
		for _, p := range s.uses("time", clock...) {
			violations = append(violations, fmt.Sprintf("%s: a pure core looks at the clock", s.line(p)))
		}
		for _, p := range s.uses("math/rand/v2", globalRandom...) {
			violations = append(violations, fmt.Sprintf("%s: a pure core draws from the global source", s.line(p)))
		}
		violations = append(violations, goStatements(s)...)
	}
	return violations
}

func checkNoGoroutines(sources []source) (violations []string) {
	for _, s := range sources {
		if !s.isTest && inside("log/...", s.directory()) {
			violations = append(violations, goStatements(s)...)
		}
	}
	return violations
}

func goStatements(s source) (violations []string) {
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if statement, ok := n.(*ast.GoStmt); ok {
			violations = append(violations, fmt.Sprintf("%s: starts a goroutine", s.line(statement.Pos())))
		}
		return true
	})
	return violations
}

// checkTestsNeverSleep lets tests sleep within the call of synctest.Test only: there it takes no time and is no guess.
func checkTestsNeverSleep(sources []source) (violations []string) {
	for _, s := range sources {
		if !s.isTest {
			continue
		}
		bubbles := s.bubbles()
		for _, p := range s.uses("time", "Sleep") {
			inBubble := func(call *ast.CallExpr) bool { return call.Pos() <= p && p < call.End() }
			if !slices.ContainsFunc(bubbles, inBubble) {
				violations = append(violations, fmt.Sprintf("%s: a test sleeps", s.line(p)))
			}
		}
	}
	return violations
}

// bubbles returns the calls of synctest.Test.
func (s source) bubbles() (calls []*ast.CallExpr) {
	tests := s.uses("testing/synctest", "Test")
	ast.Inspect(s.syntax, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && slices.Contains(tests, call.Fun.Pos()) {
			calls = append(calls, call)
		}
		return true
	})
	return calls
}

func checkPackageComments(sources []source) (violations []string) {
	documented, first := map[string]bool{}, map[string]string{}
	for _, s := range sources {
		if s.isTest {
			continue
		}
		if first[s.directory()] == "" {
			first[s.directory()] = s.name
		}
		if s.syntax.Doc != nil {
			documented[s.directory()] = true
		}
	}
	for directory, name := range first {
		if !documented[directory] {
			violations = append(violations, fmt.Sprintf("%s: no file of package %s has a package comment", name, directory))
		}
	}
	return violations
}

func checkFileSizes(sources []source) (violations []string) {
	for _, s := range sources {
		limit := linesMax
		if s.name == "cmd/millrace/main.go" {
			limit = mainLinesMax
		}
		if !s.isTest && s.lines > limit {
			violations = append(violations, fmt.Sprintf("%s: %d lines, at most %d", s.name, s.lines, limit))
		}
	}
	return violations
}

var leftToDo = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

func checkNothingLeftToDo(sources []source) (violations []string) {
	for _, s := range sources {
		for _, group := range s.syntax.Comments {
			for _, comment := range group.List {
				if word := leftToDo.FindString(comment.Text); word != "" {
					violations = append(violations, fmt.Sprintf("%s: a comment says %s", s.line(comment.Pos()), word))
				}
			}
		}
	}
	return violations
}
