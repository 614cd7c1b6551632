package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v3"
)

var updateGolden = flag.Bool("update", false, "write the files of testdata/golden anew")

// notDocuments are the commands whose output is no document that --format could change, with what it is.
var notDocuments = map[string]string{
	"serve": "a log", "demo": "a course of events", "completion": "a script", "produce": "nothing", "consume": "records",
	"generate": "files", "bench": "figures",
}

// printsDocument reports whether a command's output is one that --format changes.
func printsDocument(name string) bool {
	parent, _, _ := strings.Cut(name, " ")
	return notDocuments[parent] == "" && notDocuments[name] == ""
}

// goldenLines has a command line for every command that prints a document, in an order in which they
// work: they share one broker. DATA is a data directory, STATE a directory for files.
var goldenLines = []struct{ name, args string }{
	{"version", ""},
	{"topic list", ""},
	{"topic create", "fresh other -p 2"},
	{"topic describe", "clicks"},
	{"topic alter", "fresh -c segment.bytes=1048576"},
	{"topic add-partitions", "fresh -n 1"},
	{"topic trim", "clicks --to 2 -p 0 --yes"},
	{"topic delete", "fresh nothere --if-exists --yes"},
	{"group list", ""},
	{"group describe", "readers"},
	{"group export", "readers"},
	{"group seek", "readers --to start --yes --undo STATE/undo.json"},
	{"group import", "STATE/undo.json --yes --undo STATE/undo2.json"},
	{"group delete-offsets", "readers --topic clicks:1 --yes --undo STATE/undo3.json"},
	{"group delete", "readers --yes"},
	{"txn list", ""},
	{"txn describe", "biller"},
	{"txn producers", "clicks"},
	{"txn abort", "biller --yes"},
	{"streams list", ""},
	{"streams describe", "counting"},
	{"streams topology", "counting"},
	{"streams lag", "counting"},
	{"streams reset", "counting --yes --undo STATE/undo4.json"},
	{"cluster info", ""},
	{"cluster brokers", ""},
	{"cluster api-versions", ""},
	{"cluster features", ""},
	{"cluster health", ""},
	{"cluster logdirs", "clicks"},
	{"cluster config set", "log.retention.ms=3600000"},
	{"cluster config get", "log.retention.ms"},
	{"cluster config describe", "log.retention.ms"},
	{"doctor", ""},
	{"cluster quotas set", "producer_byte_rate=1048576 --name user=etl --default client-id"},
	{"cluster quotas list", ""},
	{"cluster quotas describe", "--name user=etl --default client-id"},
	{"cluster quotas delete", "--name user=etl --default client-id --yes"},
	{"profile create", "golden -b localhost:9092 -X client.id=me -X sasl.password=secret -X sasl.username=me -X sasl.mechanism=PLAIN -X security.protocol=SASL_PLAINTEXT"},
	{"profile use", "golden"},
	{"profile list", ""},
	{"profile show", "golden"},
	{"profile delete", "golden --yes"},
	{"log dump", "DATA/clicks-0"},
	{"log verify", "DATA/clicks-0 DATA/clicks-1"},
	{"copy", "clicks clicks-copy --exactly-once"},
}

// Every command prints, with --format json, one JSON object with a version, of the shape that its file
// in testdata/golden shows; YAML says the same. Programs depend on it: fields may come, none may go.
func TestGoldenDocuments(t *testing.T) {
	replace := useGoldenBroker(t)
	covered := map[string]bool{}
	for _, line := range goldenLines {
		covered[line.name] = true
		args := append(strings.Fields(line.name), strings.Fields(replace.Replace(line.args))...)
		r := cli(t, "", append(args, "--format", "json")...)
		if r.code != 0 {
			t.Errorf("millrace %s: exit code %d, stderr %q", strings.Join(args, " "), r.code, r.stderr)
			continue
		}
		var document map[string]any
		if err := json.Unmarshal([]byte(r.stdout), &document); err != nil || document["version"] != float64(1) {
			t.Errorf("millrace %s: %v, no JSON object of version 1:\n%s", line.name, err, r.stdout)
			continue
		}
		compareGolden(t, line.name, document)
	}
	everyCommand(newRootCommand(), func(cmd *cobra.Command) {
		name := commandName(cmd)
		if printsDocument(name) && !covered[name] {
			t.Errorf("millrace %s has no line in goldenLines: add one, and run this test with -update", name)
		}
	})
}

func compareGolden(t *testing.T, name string, document map[string]any) {
	t.Helper()
	normalize(document)
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", "golden", strings.ReplaceAll(name, " ", "-")+".json")
	if *updateGolden {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got.String() != string(want) {
		t.Errorf("millrace %s --format json is not as in %s (run with -update if it is meant): %v\n%s", name, file, err, got.String())
	}
}

// volatile are the fields whose values are others each time.
var volatile = []string{
	"cluster_id", "id", "port", "time", "undo_file", "dir", "directory", "path", "file_path", "total_bytes", "usable_bytes", "size_bytes",
	"release", "revision", "modified", "producer_id", "last_timestamp_ms", "go", "platform", "source", "crc", "create_time_ms", "file", "finding",
}

// listMax is how many elements of a list are kept: what the broker has many of grows with it.
const listMax = 3

// normalize replaces volatile values by the name of their type, and cuts lists.
func normalize(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, field := range value {
			_, isList := field.([]any)
			_, isObject := field.(map[string]any)
			if slices.Contains(volatile, name) && !isList && !isObject && field != nil {
				value[name] = "<" + name + ">"
				continue
			}
			value[name] = normalize(field)
		}
		return value
	case []any:
		for i := range value {
			value[i] = normalize(value[i])
		}
		if len(value) > listMax {
			return append(value[:listMax:listMax], "...")
		}
		return value
	}
	return value
}

// useGoldenBroker starts a broker with the same topics, records and groups each time.
func useGoldenBroker(t *testing.T) *strings.Replacer {
	t.Helper()
	data, state := t.TempDir(), t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", state)
	seed := func() {
		ok(t, "", "topic", "create", "clicks", "-p", "2")
		var lines strings.Builder
		for i := range 6 {
			lines.WriteString(`{"partition":` + number(i%2) + `,"timestamp":` + number(1_700_000_000_000+i) + `,"key":"k","value":"v"}` + "\n")
		}
		ok(t, lines.String(), "produce", "clicks", "-J", "-X", "linger.ms=60000") // one batch, however slow
	}
	p, _ := serve(t, "--data-dir", data)
	seed()
	p.signal(15)
	if code := p.exit(); code != 0 {
		t.Fatalf("the broker ended with %d", code)
	}
	useBroker(t)
	seed()
	seedStreamsApp(t)
	ok(t, "", "group", "seek", "readers", "--to", "2", "--topic", "clicks", "--create", "--yes", "--undo", filepath.Join(state, "first.json"))
	if err := openTransaction(t, "biller", "clicks").EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("DATA", data, "STATE", state)
}

// lookers are commands that change nothing, so that they say the same again.
var lookers = []string{
	"topic list", "topic describe", "group list", "group describe", "txn list", "txn describe", "txn producers", "streams list", "streams describe", "streams topology", "streams lag", "cluster info", "cluster brokers", "cluster api-versions",
	"cluster features", "cluster logdirs", "log dump", "log verify",
}

// A document is the same in YAML, and its text has header lines that --no-headers leaves out.
func TestEveryDocumentIsTheSameInYAML(t *testing.T) {
	replace := useGoldenBroker(t)
	for _, line := range goldenLines {
		if !slices.Contains(lookers, line.name) {
			continue
		}
		args := append(strings.Fields(line.name), strings.Fields(replace.Replace(line.args))...)
		var inJSON, inYAML any
		if err := json.Unmarshal([]byte(ok(t, "", append(args, "--format", "json")...)), &inJSON); err != nil {
			t.Errorf("%s: %v", line.name, err)
		}
		if err := yaml.Unmarshal([]byte(ok(t, "", append(args, "--format", "yaml")...)), &inYAML); err != nil {
			t.Errorf("%s: %v", line.name, err)
		}
		again, err := json.Marshal(inYAML)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(inJSON)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(plain) {
			t.Errorf("millrace %s in YAML:\n%s\nin JSON:\n%s", line.name, again, plain)
		}
		full, bare := ok(t, "", args...), ok(t, "", append(args, "--no-headers")...)
		if len(bare) >= len(full) && line.name != "version" {
			t.Errorf("millrace %s --no-headers:\n%s\nwith them:\n%s", line.name, bare, full)
		}
	}
}

// There is no golden file of a command that is gone.
func TestGoldenFilesHaveCommands(t *testing.T) {
	names := map[string]bool{}
	for _, line := range goldenLines {
		names[strings.ReplaceAll(line.name, " ", "-")+".json"] = true
	}
	entries, err := os.ReadDir(filepath.Join("testdata", "golden"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !names[entry.Name()] {
			t.Errorf("testdata/golden/%s belongs to no command", entry.Name())
		}
		delete(names, entry.Name())
	}
	if len(names) > 0 {
		t.Errorf("no files for %q", slices.Collect(maps.Keys(names)))
	}
}
