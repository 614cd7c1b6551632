package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// everyCommand calls body for each command that does something itself.
func everyCommand(cmd *cobra.Command, body func(*cobra.Command)) {
	for _, child := range cmd.Commands() {
		everyCommand(child, body)
	}
	if !cmd.HasSubCommands() && cmd.IsAvailableCommand() {
		body(cmd)
	}
}

func TestEveryListingCommandHasFormats(t *testing.T) {
	everyCommand(newRootCommand(), func(cmd *cobra.Command) {
		name := commandName(cmd)
		if !printsDocument(name) {
			return
		}
		for _, flag := range []string{"format", "no-headers"} {
			if cmd.Flags().Lookup(flag) == nil {
				t.Errorf("millrace %s has no --%s", name, flag)
			}
		}
	})
}

func TestEveryCommandHasAShortHelp(t *testing.T) {
	everyCommand(newRootCommand(), func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("millrace %s: short help %q", commandName(cmd), cmd.Short)
		}
	})
}

// Everything that lists is valid JSON and YAML with a version, says the same in both, and goes to
// stdout, also when it lists nothing or only failures.
func TestListingsAreValidInEveryFormat(t *testing.T) {
	_, _ = serve(t, "--in-memory", "--topic", "clicks:3")
	ok(t, "a\nb\n", "produce", "clicks")
	ok(t, "", "consume", "clicks", "-g", "readers", "-e")
	data := t.TempDir()
	makePartition(t, data)
	for _, test := range []struct {
		line string
		code int
	}{
		{"version", 0}, {"topic list", 0}, {"topic list --internal", 0}, {"topic list nothere", 1}, {"topic describe clicks", 0},
		{"topic describe nothere", 1}, {"topic create x1", 0}, {"topic create x1", 1}, {"topic create x1 --if-not-exists", 0},
		{"topic create y --dry-run", 0}, {"topic alter x1 -c retention.ms=1 -y", 0}, {"topic alter x1 -c retenton.ms=1", 1},
		{"topic add-partitions x1 -n 1", 0}, {"topic trim x1 --to end --dry-run", 0}, {"topic trim x1 --to 7 -y", 1}, {"topic delete x1 --dry-run", 0}, {"topic delete x1 -y", 0}, {"topic delete x1 -y", 1},
		{"topic delete x1 -y --if-exists", 0}, {"group list", 0}, {"group describe readers", 0}, {"group describe nothere", 1},
		{"group delete readers --dry-run", 0}, {"group delete nothere -y", 1}, {"group delete nothere -y --if-exists", 0},
		{"cluster info", 0}, {"cluster brokers", 0}, {"cluster api-versions", 0}, {"cluster features", 0}, {"cluster logdirs", 0},
		{"cluster logdirs clicks", 0}, {"cluster logdirs nothere", 1},
		{"log dump " + filepath.Join(data, "t-0"), 0}, {"log verify " + filepath.Join(data, "t-0"), 0},
	} {
		var inJSON, inYAML map[string]any
		for _, format := range []string{"json", "yaml"} {
			args := strings.Fields(strings.ReplaceAll(test.line, "x1", "x1"+format))
			r := cli(t, "", append(args, "--format", format)...)
			if r.code != test.code || (r.stderr == "") != (test.code == 0) {
				t.Errorf("millrace %s --format %s: exit code %d, stderr %q", test.line, format, r.code, r.stderr)
			}
			var err error
			if format == "json" {
				err = json.Unmarshal([]byte(r.stdout), &inJSON)
			} else {
				err = yaml.Unmarshal([]byte(r.stdout), &inYAML)
			}
			if err != nil {
				t.Errorf("millrace %s --format %s: %v\n%s", test.line, format, err, r.stdout)
			}
		}
		if inJSON["version"] != float64(1) || inYAML["version"] != 1 {
			t.Errorf("millrace %s: versions %v and %v", test.line, inJSON["version"], inYAML["version"])
		}
		if names := keysOf(inJSON); !slices.Equal(names, keysOf(inYAML)) || len(names) < 2 {
			t.Errorf("millrace %s: fields %v and %v", test.line, names, keysOf(inYAML))
		}
	}
}

func keysOf(m map[string]any) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// makePartition has a broker write the partition directory t-0 in data, and stops it.
func makePartition(t *testing.T, data string) {
	t.Helper()
	before := os.Getenv("MILLRACE_BROKERS")
	p, address := serve(t, "--data-dir", data)
	ok(t, "a\nb\n", "produce", "t", "-b", address)
	p.signal(15)
	if code := p.exit(); code != 0 {
		t.Fatalf("the broker ended with %d", code)
	}
	t.Setenv("MILLRACE_BROKERS", before)
}

func TestTextListings(t *testing.T) {
	useBroker(t)
	ok(t, "", "topic", "create", "clicks", "-p", "3")
	if got, want := ok(t, "", "topic", "list"), "NAME    PARTITIONS  REPLICAS\nclicks  3           1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := ok(t, "", "topic", "list", "--no-headers"), "clicks  3  1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := ok(t, "", "topic", "create", "a", "b"), "TOPIC  STATUS\na      created\nb      created\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
