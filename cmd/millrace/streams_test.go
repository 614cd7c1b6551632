package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/state"
	"github.com/millrace/millrace/streams"
	"github.com/millrace/millrace/streams/serde"
	"github.com/twmb/franz-go/pkg/kgo"
)

// countingApp is what an application that counts words has stored.
func countingApp() streams.Description {
	return streams.Description{
		Version: 1, App: "counting", Fingerprint: "0123456789abcdef",
		Subtopologies: []streams.SubtopologyDescription{
			{Name: "lines", Tasks: 2, Sources: []string{"lines"}, Sinks: []string{"words"}, Nodes: []streams.NodeDescription{
				{Name: "lines", Kind: "source", Operator: "source", Topics: []string{"lines"}},
				{Name: "words-sink", Kind: "sink", Operator: "repartition", Parents: []string{"lines"}, Topics: []string{"words"}, DeadLetters: "dead"},
			}},
			{Name: "word-counts", Tasks: 2, Sources: []string{"words"}, Sinks: []string{"counts"}, Stores: []string{"word-counts"}, Nodes: []streams.NodeDescription{
				{Name: "words", Kind: "source", Operator: "source", Topics: []string{"words"}},
				{Name: "word-counts", Kind: "operation", Operator: "count", Parents: []string{"words"}, Stores: []string{"word-counts"}},
				{Name: "counts", Kind: "sink", Operator: "sink", Parents: []string{"word-counts"}, Edge: "late", Topics: []string{"counts"}},
			}},
		},
		Topics: []streams.TopicDescription{
			{Name: "lines", Kafka: "lines", Partitions: 2, Key: "string", Value: "string"},
			{Name: "words", Kafka: "counting-words-repartition", Internal: true, Partitions: 2, Key: "string", Value: "string"},
			{Name: "counts", Kafka: "counts", Key: "string", Value: "int64"},
		},
		Stores: []streams.StoreDescription{{Name: "word-counts", Kind: "kv", Key: "string", Value: "int64", Topics: []string{"words"},
			Changelog: "counting-word-counts-changelog", Partitions: 2}},
	}
}

// seedStreamsApp leaves what a stopped application leaves: its topics, their records and offsets.
func seedStreamsApp(t *testing.T) {
	t.Helper()
	ok(t, "", "topic", "create", "lines", "counting-words-repartition", "counting-word-counts-changelog", "-p", "2")
	ok(t, "", "topic", "create", "counting-topology", "-p", "1")
	description, err := json.Marshal(countingApp())
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(map[string]string{"key": "counting", "value": string(description)})
	if err != nil {
		t.Fatal(err)
	}
	ok(t, string(record)+"\n", "produce", "counting-topology", "-J")
	for topic, partition := range map[string]string{"lines": "0", "counting-word-counts-changelog": "1", "counting-words-repartition": "1"} {
		ok(t, "a\nb\nc\n", "produce", topic, "-p", partition)
	}
	ok(t, "", "group", "seek", "counting", "--to", "2", "--topic", "lines:0", "--topic", "counting-words-repartition:1", "--create", "--yes",
		"--undo", filepath.Join(t.TempDir(), "undo.json"))
}

// cells are the words of the lines of text that begin with a word.
func cells(text, first string) (rows []string) {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == first {
			rows = append(rows, strings.Join(fields, " "))
		}
	}
	return rows
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		first, _, _ := strings.Cut(line, " ")
		found := false
		for _, row := range cells(text, first) {
			found = found || row == line || strings.HasPrefix(row, line+" fingerprint ")
		}
		if !found {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func TestStreamsOfAStoppedApplication(t *testing.T) {
	useBroker(t)
	seedStreamsApp(t)
	ok(t, "", "topic", "create", "their-topology", "-p", "1") // nobody's description
	ok(t, "x\n", "produce", "their-topology")

	wantLines(t, ok(t, "", "streams", "list"), "counting stopped 0 4 1 2")
	if list := ok(t, "", "streams", "list"); strings.Contains(list, "their") {
		t.Errorf("a topic of somebody else's is listed:\n%s", list)
	}
	wantLines(t, ok(t, "", "streams", "describe", "counting"),
		"application counting state stopped members 0 tasks 4 lag 2 fingerprint 0123456789abcdef",
		"lines 2 lines words -", "word-counts 2 words counts word-counts",
		"words 2 string string counting-words-repartition", "counts - string int64 counts",
		"word-counts kv string int64 - counting-word-counts-changelog", "no members", "lines/0 1 -", "word-counts/1 1 -")
	wantLines(t, ok(t, "", "streams", "topology", "counting"),
		"sub-topology word-counts tasks 2", "words-sink repartition lines words - dead", "counts sink word-counts (late) counts - -")
	wantLines(t, ok(t, "", "streams", "lag", "counting"),
		"lines/0 lines 2 3 1 - -", "lines/1 lines - 0 0 - -", "word-counts/1 counting-words-repartition 2 3 1 - -")
	if rows := cells(ok(t, "", "streams", "lag", "counting"), "word-counts"); len(rows) != 2 || !strings.HasPrefix(rows[1], "word-counts 1 3 ") {
		t.Errorf("changelogs %q", rows)
	}
	if got, want := ok(t, "", "streams", "topology", "counting", "--format", "mermaid"), countingApp().Mermaid(); got != want {
		t.Errorf("Mermaid:\n%s", got)
	}
	if got, want := ok(t, "", "streams", "topology", "counting", "--format", "dot"), countingApp().DOT(); got != want {
		t.Errorf("DOT:\n%s", got)
	}
}

func TestStreamsSayWhatIsUnknown(t *testing.T) {
	useBroker(t)
	seedStreamsApp(t)
	for _, verb := range []string{"describe", "topology", "lag", "reset"} {
		args := []string{"streams", verb, "countin"}
		if verb == "reset" {
			args = append(args, "--yes")
		}
		if r := cli(t, "", args...); r.code != 1 || !strings.Contains(r.stderr, `unknown application "countin"`) || !strings.Contains(r.stderr, "counting") {
			t.Errorf("%s: %d, %s", verb, r.code, r.stderr)
		}
	}
	for args, want := range map[string]string{
		"streams describe":                          "needs one APPLICATION",
		"streams topology counting --format mermai": "mermaid",
		"streams list --format dot":                 "unknown format",
		"streams reset counting":                    "add --yes to reset application counting",
		"streams reset counting --yes --to noon":    "--to",
	} {
		if r := cli(t, "", strings.Fields(args)...); r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %d, %s", args, r.code, r.stderr)
		}
	}
}

func TestStreamsReset(t *testing.T) {
	useBroker(t)
	seedStreamsApp(t)
	internal := []string{"counting-topology", "counting-word-counts-changelog", "counting-words-repartition"}
	undo := filepath.Join(t.TempDir(), "undo.json")

	planned := ok(t, "", "streams", "reset", "counting", "--dry-run", "--undo", undo)
	wantLines(t, planned, "lines 0 2 0 -2 would be moved", "counting-words-repartition 1 2 - - would be moved",
		"counting-words-repartition records on their way would be deleted", "counting-topology the description would be deleted")
	if topics := ok(t, "", "topic", "list"); !strings.Contains(topics, internal[0]) {
		t.Fatalf("a dry run deleted something:\n%s", topics)
	}
	if _, err := os.Stat(undo); err == nil {
		t.Error("a dry run wrote a file")
	}
	r := cli(t, "", "streams", "reset", "counting", "--to", "1", "--yes", "--undo", undo)
	if r.code != 1 || !strings.Contains(r.stderr, `topic "lines" partition 1: offset 1 is not within 0 to 0`) {
		t.Errorf("%d, %s", r.code, r.stderr)
	}
	wantLines(t, r.stdout, "lines 0 2 1 -1 would be moved", "counting-topology the description kept")
	wantLines(t, ok(t, "", "streams", "list"), "counting stopped 0 4 1 2")
	done := ok(t, "", "streams", "reset", "counting", "--to", "end", "--yes", "--undo", undo)
	wantLines(t, done, "lines 0 2 3 +1 moved", "counting-word-counts-changelog changes of store word-counts deleted")
	topics := ok(t, "", "topic", "list")
	for _, topic := range internal {
		if strings.Contains(topics, topic) {
			t.Errorf("topic %s is still there:\n%s", topic, topics)
		}
	}
	if !strings.Contains(topics, "lines") {
		t.Errorf("what it reads is gone:\n%s", topics)
	}
	wantLines(t, ok(t, "", "group", "export", "counting", "--format", "text"), "lines 0 3 -")
	if r := cli(t, "", "streams", "reset", "counting", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "unknown application") {
		t.Errorf("a second time: %d, %s", r.code, r.stderr)
	}
}

func TestStreamsResetRefusesARunningApplication(t *testing.T) {
	useBroker(t)
	seedStreamsApp(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Getenv("MILLRACE_BROKERS")), kgo.ConsumerGroup("counting"), kgo.ConsumeTopics("lines"), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.PollFetches(t.Context())
	r := cli(t, "", "streams", "reset", "counting", "--yes")
	if r.code != 1 || !strings.Contains(r.stderr, `group "counting" is active, stop its 1 member first`) {
		t.Errorf("%d, %s", r.code, r.stderr)
	}
	wantLines(t, ok(t, "", "streams", "list"), "counting running 1 4 1 2")
	if rows := cells(ok(t, "", "streams", "describe", "counting"), "lines/0"); len(rows) != 1 || strings.HasSuffix(rows[0], " -") {
		t.Errorf("nobody runs lines/0: %q", rows)
	}
}

// runWordCount runs an application that counts words, until the test ends or the function that it returns is called.
func runWordCount(t *testing.T, app, dir string) (stop func()) {
	t.Helper()
	words := streams.NewTopic("words", serde.String, serde.String)
	topology := streams.NewTopology()
	lines := streams.From(topology, streams.NewTopic("lines", serde.String, serde.String))
	split := streams.FlatMapValues(lines, strings.FieldsSeq)
	streams.GroupBy(split, words, func(_, word string) string { return word }).Count(state.NewKV("word-counts", serde.String, serde.Int64)).
		ToStream().To(streams.NewTopic("counts", serde.String, serde.Int64))
	running, err := streams.New(topology, streams.Config{App: app, Brokers: []string{os.Getenv("MILLRACE_BROKERS")}, StateDir: dir,
		Client:         []kgo.Opt{kgo.MetadataMinAge(50 * time.Millisecond)},
		CommitInterval: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Run(context.Background()) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			running.Close()
			if err := <-ended; err != nil {
				t.Errorf("the application ended with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// awaitLines runs a command until its output has lines that begin so.
func awaitLines(t *testing.T, lines []string, args ...string) (stdout string) {
	t.Helper()
	eventually(t, fmt.Sprintf("millrace %s: lines %q", strings.Join(args, " "), lines), func() bool {
		stdout = cli(t, "", args...).stdout
		return !slices.ContainsFunc(lines, func(line string) bool {
			first, _, _ := strings.Cut(line, " ")
			return !slices.ContainsFunc(cells(stdout, first), func(row string) bool { return strings.HasPrefix(row, line) })
		})
	})
	return stdout
}

func TestStreamsOfARunningApplication(t *testing.T) {
	useBroker(t)
	ok(t, "", "topic", "create", "lines", "counts", "-p", "2")
	ok(t, "a b\nc\nd e f\n", "produce", "lines")
	first, second := t.TempDir(), t.TempDir()
	stopFirst, stopSecond := runWordCount(t, "counting", first), runWordCount(t, "counting", second)
	awaitLines(t, []string{"counting running 2 4 1 0"}, "streams", "list")

	eventually(t, "two tasks for each of two members", func() bool {
		described := ok(t, "", "streams", "describe", "counting")
		tasks := map[string]int{}
		for _, name := range []string{"lines/0", "lines/1", "word-counts/0", "word-counts/1"} {
			for _, row := range cells(described, name) {
				tasks[row[strings.LastIndex(row, " ")+1:]]++
			}
		}
		return len(tasks) == 2 && tasks["-"] == 0 && !slices.ContainsFunc(slices.Collect(maps.Values(tasks)), func(n int) bool { return n != 2 })
	})
	wantLines(t, ok(t, "", "streams", "describe", "counting"), "application counting state running members 2 tasks 4 lag 0",
		"lines 2 lines words -", "word-counts 2 words counts word-counts")
	if r := cli(t, "", "streams", "reset", "counting", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "stop its 2 members first") {
		t.Errorf("a reset while it runs: %d, %s", r.code, r.stderr)
	}
	stopFirst()
	stopSecond()
	awaitLines(t, []string{"counting stopped 0 4 1 0"}, "streams", "list")
}

// After a reset everything is counted again, with stores that begin empty, though the state directory is as it was.
func TestStreamsResetMakesAnApplicationCountAgain(t *testing.T) {
	useBroker(t)
	ok(t, "", "topic", "create", "lines", "counts", "-p", "1")
	ok(t, "a a\na\n", "produce", "lines")
	dir := t.TempDir()
	var want []string
	for range 2 {
		stop := runWordCount(t, "counting", dir)
		awaitLines(t, []string{"counting running 1 2 1 0"}, "streams", "list")
		stop()
		want = append(want, "0000000000000001", "0000000000000002", "0000000000000003")
		if got := strings.Fields(ok(t, "", "consume", "counts", "-o", ":end", "-f", "%v{hex}\n")); !slices.Equal(got, want) {
			t.Errorf("counts %q, want %q", got, want)
		}
		ok(t, "", "streams", "reset", "counting", "--yes", "--undo", filepath.Join(t.TempDir(), "undo.json"))
	}
}
