package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
	"github.com/spf13/cobra"
)

//go:generate go test -run TestTheReferenceIsWhatTheCommandsSay . -update

const (
	referencePage = "../../docs/cli.md"
	comingPage    = "../../docs/coming-from.md"
)

func TestTheReferenceIsWhatTheCommandsSay(t *testing.T) {
	page, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	is := string(page)
	for name, content := range map[string]string{"settings": settingsTable(), "commands": commandSections()} {
		part := regexp.MustCompile(`(?s)(<!-- generated: ` + name + ` -->\n).*?(<!-- end -->)`)
		if !part.MatchString(is) {
			t.Fatalf("%s has no part %q", referencePage, name)
		}
		is = part.ReplaceAllStringFunc(is, func(string) string {
			return "<!-- generated: " + name + " -->\n\n" + content + "\n<!-- end -->"
		})
	}
	switch {
	case is == string(page):
	case !*updateGolden:
		t.Errorf("%s is stale: run `make generate`", referencePage)
	default:
		if err := os.WriteFile(referencePage, []byte(is), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("| setting | |\n|---|---|\n")
	for _, setting := range clientconfig.Names() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", setting[0], setting[1])
	}
	return b.String()
}

func commandSections() string {
	var b strings.Builder
	root := newRootCommand()
	root.InitDefaultHelpFlag()
	everyCommand(root, func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		_ = cmd.Flags().MarkHidden("help")
		about := cmd.Long
		if about == "" {
			about = cmd.Short + "."
		}
		fmt.Fprintf(&b, "### %s\n\n```text\n%s\n\n%s\n", cmd.CommandPath(), cmd.UseLine(), about)
		if cmd.HasExample() {
			fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
		}
		if flags := cmd.LocalNonPersistentFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(&b, "\nFlags:\n%s", flags)
		}
		b.WriteString("```\n\n")
	})
	return b.String()
}

// inBackquotes are command lines of this program in a page.
var inBackquotes = regexp.MustCompile("`(millrace [^`]*)`")

// Each command line that the pages and the examples of commands show is one that the program takes.
func TestEveryCommandLineInTheDocsParses(t *testing.T) {
	var lines []string
	for _, name := range []string{comingPage, referencePage} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range inBackquotes.FindAllStringSubmatch(string(page), -1) {
			lines = append(lines, found[1])
		}
	}
	if len(lines) < 80 {
		t.Fatalf("only %d command lines were found", len(lines))
	}
	everyCommand(newRootCommand(), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			for part := range strings.SplitSeq(line, " | ") {
				part, _, _ = strings.Cut(part, " > ")
				if part = strings.TrimSpace(part); strings.HasPrefix(part, "millrace ") {
					lines = append(lines, part)
				}
			}
		}
	})
	for _, line := range lines {
		if err := parses(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, wrong := range []string{"millrace topics list", "millrace topic list --formt json", "millrace group seek", "millrace topic", "millrace consume t -n x"} {
		if parses(wrong) == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

// parses checks a command line without running it: the command, its flags, its arguments.
func parses(line string) error {
	var words []string
	for _, found := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		words = append(words, found[1]+found[2])
	}
	cmd, rest, err := newRootCommand().Find(words[1:])
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.HasSubCommands() {
		return fmt.Errorf("no such command")
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
