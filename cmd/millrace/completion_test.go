package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

// suggestions returns what a shell would offer at the end of a command line.
func suggestions(t *testing.T, line string) string {
	t.Helper()
	args := append([]string{"__complete"}, strings.Split(line, " ")...)
	word := line[strings.LastIndexByte(line, ' ')+1:]
	var names []string
	for suggestion := range strings.Lines(ok(t, "", args...)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(suggestion), "\t"); !strings.HasPrefix(name, ":") && strings.HasPrefix(name, word) { // the shell looks at the word
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

func TestNamesAreCompleted(t *testing.T) {
	useBroker(t)
	useProfiles(t)
	ok(t, "", "topic", "create", "clicks", "orders")
	ok(t, "", "group", "seek", "billing", "--to", "start", "--topic", "orders", "--create", "--yes", "-q", "--undo", t.TempDir()+"/undo")
	ok(t, "", "profile", "create", "prod", "-b", "localhost")
	for line, want := range map[string]string{
		"topic describe ":             "clicks orders",
		"topic describe o":            "orders",
		"topic trim clicks ":          "orders",
		"consume ":                    "clicks orders",
		"produce ":                    "clicks orders",
		"cluster logdirs c":           "clicks",
		"group seek ":                 "billing",
		"group describe b":            "billing",
		"group seek billing --topic ": "clicks orders",
		"group seek x --to-group ":    "billing",
		"consume clicks -g ":          "billing",
		"profile use ":                "prod",
		"topic list --profile ":       "prod",
		"topic list -X sasl.p":        "sasl.password=",
		"produce clicks -z z":         "zstd",
		"produce clicks --acks ":      "all 1 0",
		"topic list --format ":        "text json yaml",
		"completion ":                 "bash zsh fish powershell",
		"topic tr":                    "trim",
		"group seek billing --to-fil": "--to-file",
		"consume clicks --color ":     "auto always never",
	} {
		if got := suggestions(t, line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// A broker that does not answer holds up the shell for half a second, not longer.
func TestCompletionDoesNotWaitForASilentBroker(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("MILLRACE_BROKERS", listener.Addr().String())
	begin := time.Now()
	if got := suggestions(t, "topic describe "); got != "" {
		t.Errorf("suggested %q", got)
	}
	if took := time.Since(begin); took < completeMax || took > reachMax {
		t.Errorf("took %v, the budget is %v", took, completeMax)
	}
}

func TestEveryShellHasAScript(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := ok(t, "", "completion", shell); !strings.Contains(got, "__complete") || !strings.Contains(got, "millrace") {
			t.Errorf("%s: %.200q", shell, got)
		}
	}
}

func TestQuietLeavesOutNotesAndKeepsErrors(t *testing.T) {
	useBroker(t)
	r := cli(t, "a\n", "produce", "t", "-q")
	if r.code != 0 || r.stderr != "" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	r = cli(t, "", "group", "seek", "g", "--to", "start", "--topic", "t", "--create", "--yes", "-q", "--undo", t.TempDir()+"/undo")
	if r.code != 0 || r.stderr != "" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if r := cli(t, "a\n", "produce", "t", "-q", "-p", "7"); r.code != 1 || r.stderr == "" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}
