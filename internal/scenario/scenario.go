// Package scenario runs files that show what a state machine does: blocks of commands, a line ----, and what they print.
// Blocks are parted by empty lines, lines that begin with # are comments. The flag -rewrite of a test makes what was printed
// the expected output.
package scenario

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected output of testdata/*.txt")

// World is what the commands of one file act on.
type World interface {
	// Run executes a command; one that makes no sense fails the test.
	Run(t *testing.T, line string)
	// Output returns what was printed since it was last asked.
	Output() string
}

// RunAll runs every file testdata/*.txt beside the test, each in a new world.
func RunAll(t *testing.T, newWorld func() World) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { run(t, file, newWorld()) })
	}
}

func run(t *testing.T, file string, w World) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimRight(string(text), "\n"), "\n\n") {
		commands, want, _ := strings.Cut(block+"\n", "----\n")
		for line := range strings.Lines(strings.TrimSpace(commands)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				w.Run(t, line)
			}
		}
		got := w.Output()
		if !*rewrite && got != want {
			t.Fatalf("%s, block %d:\n%s----\nwant:\n%s\ngot:\n%s", file, i+1, commands, want, got)
		}
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(commands + "----\n" + got)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
