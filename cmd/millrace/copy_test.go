package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// secondBroker returns the address of another broker than the one that command lines reach without -b.
func secondBroker(t *testing.T) (address string) {
	t.Helper()
	first := os.Getenv("MILLRACE_BROKERS")
	useBroker(t)
	address = os.Getenv("MILLRACE_BROKERS")
	t.Setenv("MILLRACE_BROKERS", first)
	return address
}

// recordsOf returns what consume -J prints of a topic, without the topic's name, sorted.
func recordsOf(t *testing.T, args ...string) []string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(ok(t, "", append([]string{"consume", "-J", "-e"}, args...)...)), "\n")
	for i, line := range lines {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		delete(record, "topic")
		delete(record, "offset")
		delete(record, "leader_epoch")
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = string(text)
	}
	slices.Sort(lines)
	return lines
}

func copied(t *testing.T, args ...string) (total, leftOut int64) {
	t.Helper()
	var report copyReport
	if err := json.Unmarshal([]byte(ok(t, "", append([]string{"copy", "--format", "json"}, args...)...)), &report); err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Partitions {
		total += p.Copied
		leftOut += p.LeftOut
	}
	return total, leftOut
}

func TestCopyKeepsRecordsAsTheyAre(t *testing.T) {
	for _, flag := range []string{"--exactly-once", "--exactly-once=false"} {
		t.Run(flag, func(t *testing.T) {
			useBroker(t)
			numbered(t, "source")
			ok(t, `{"partition":1,"key":null,"value":null}`+"\n"+`{"partition":1,"key":"","value":""}`+"\n", "produce", "source", "-J")
			if n, _ := copied(t, "source", "sink", flag); n != 32 {
				t.Errorf("%d records were copied", n)
			}
			if want, got := recordsOf(t, "source"), recordsOf(t, "sink"); !slices.Equal(want, got) {
				t.Errorf("copies\n%s\nof\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if n, _ := copied(t, "source", "sink", flag); n != 0 {
				t.Errorf("%d records were copied again", n)
			}
			ok(t, "more\n", "produce", "source")
			if n, _ := copied(t, "source", "sink", flag); n != 1 {
				t.Errorf("%d of one new record were copied", n)
			}
			if out := ok(t, "", "group", "describe", "copy.source.sink"); !strings.Contains(out, "lag 0") {
				t.Errorf("the group does not tell that all is copied:\n%s", out)
			}
		})
	}
}

func TestCopyToAnotherCluster(t *testing.T) {
	useBroker(t)
	numbered(t, "t")
	other := secondBroker(t)
	args := []string{"t", "t", "--exactly-once", "--to-brokers", other}
	if n, _ := copied(t, args...); n != 30 {
		t.Errorf("%d records were copied", n)
	}
	if want, got := recordsOf(t, "t"), recordsOf(t, "t", "-b", other); !slices.Equal(want, got) {
		t.Errorf("copies\n%s\nof\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n, _ := copied(t, args...); n != 0 {
		t.Errorf("%d records were copied again", n)
	}
	if r := cli(t, "", "copy", "t", "t", "--to-set", "client.id=x"); r.code != 2 || !strings.Contains(r.stderr, "--to-brokers") {
		t.Errorf("without brokers: %+v", r)
	}
}

// How far the copy of a topic is says nothing of a topic with that name in another cluster.
func TestCopiesFromTwoClustersAreApart(t *testing.T) {
	useBroker(t)
	numbered(t, "t")
	destination := secondBroker(t)
	if n, _ := copied(t, "t", "all", "--to-brokers", destination); n != 30 {
		t.Errorf("%d records were copied", n)
	}
	useBroker(t)
	numbered(t, "t")
	if n, _ := copied(t, "t", "all", "--to-brokers", destination); n != 30 {
		t.Errorf("%d records of the other cluster were copied", n)
	}
}

func TestCopySelects(t *testing.T) {
	useBroker(t)
	numbered(t, "source")
	for i, test := range []struct {
		args    []string
		copied  int64
		leftOut int64
	}{
		{[]string{"-G", "k:k0"}, 6, 24},
		{[]string{"--jq", `.value|startswith("2-")`}, 10, 20},
		{[]string{"-G", "!k:k0", "--jq", ".partition == 1"}, 8, 22},
		{[]string{"-o", "3:5"}, 6, 0},
		{[]string{"-o", "-1"}, 3, 0},
		{[]string{"--rate", "200", "-o", "-3"}, 9, 0},
	} {
		sink := fmt.Sprint("sink", i)
		n, out := copied(t, append([]string{"source", sink}, test.args...)...)
		if n != test.copied || out != test.leftOut {
			t.Errorf("%q: %d copied, %d left out", test.args, n, out)
		}
	}
}

func TestCopyDryRunChangesNothing(t *testing.T) {
	useBroker(t)
	numbered(t, "source")
	out := ok(t, "", "copy", "source", "sink", "--dry-run")
	if strings.Count(out, "would be copied") != 3 {
		t.Errorf("printed\n%s", out)
	}
	if list := ok(t, "", "topic", "list"); strings.Contains(list, "sink") {
		t.Errorf("the destination is there:\n%s", list)
	}
}

func TestCopyRefusesWhatCannotBe(t *testing.T) {
	useBroker(t)
	numbered(t, "source")
	ok(t, "", "topic", "create", "small", "-p", "1")
	for args, want := range map[string]string{
		"source":                       "millrace: copy: needs SOURCE and DESTINATION",
		"source sink --to-set a":       "--to-set",
		"source source":                "cannot be copied onto itself",
		"nothing sink":                 "unknown topic",
		"source small":                 `"small" has 1 partition, "source" has 3`,
		"source sink --rate 0":         "--rate must be greater than 0",
		"source sink --group=":         "--group needs",
		"source sink --follow -o 1:2":  "--follow and an end",
		"source sink --jq-errors skip": "--jq-errors needs --jq",
		"source sink -o nonsense":      "nonsense",
	} {
		r := cli(t, "", append([]string{"copy"}, strings.Fields(args)...)...)
		if r.code == 0 || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("copy %s: %+v, want %q", args, r, want)
		}
	}
}

func TestCopySaysWhenRecordsAreGone(t *testing.T) {
	useBroker(t)
	numbered(t, "source")
	copied(t, "source", "sink", "-o", "0:2", "--exactly-once")
	ok(t, "", "topic", "trim", "source", "--to", "5", "--yes")
	if r := cli(t, "", "copy", "source", "sink", "--exactly-once"); r.code != 1 || !strings.Contains(r.stderr, "deleted before they were copied") {
		t.Errorf("%+v", r)
	}
}

// What is kept of a copy is how far it was, which is not where a new topic is.
func TestCopyIntoATopicThatIsGoneIsRefused(t *testing.T) {
	useBroker(t)
	numbered(t, "source")
	copied(t, "source", "sink", "--exactly-once")
	ok(t, "", "topic", "delete", "sink", "--yes")
	r := cli(t, "", "copy", "source", "sink", "--exactly-once")
	if want := "millrace: topic \"sink\" is gone, but group \"copy.source.sink\" says how far it was copied; `millrace group delete copy.source.sink` begins anew\n"; r.code != 1 || r.stderr != want {
		t.Errorf("%+v", r)
	}
	ok(t, "", "group", "delete", "copy.source.sink", "--yes")
	copied(t, "source", "sink", "--exactly-once")
}

// A copy that is killed again and again, and started again, has copied each record once.
func TestCopyThroughKills(t *testing.T) {
	const records = 60_000
	useBroker(t)
	ok(t, "", "topic", "create", "source", "-p", "3")
	var lines strings.Builder
	for i := range records {
		fmt.Fprintln(&lines, i)
	}
	ok(t, lines.String(), "produce", "source")
	for range 4 {
		p := start(t, "copy", "source", "sink", "--exactly-once", "--follow", "--rate", "30000")
		awaitCopies(t, p, min(committedCopies(t)+1000, records))
		p.signal(syscall.SIGKILL)
		p.exit()
	}
	copied(t, "source", "sink", "--exactly-once")
	seen := map[string]int{}
	for _, value := range strings.Fields(ok(t, "", "consume", "sink", "-e")) {
		seen[value]++
	}
	for i := range records {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Fatalf("record %d is there %d times, and there are %d", i, n, len(seen))
		}
	}
}

// awaitCopies waits until a copy that runs has come so far.
func awaitCopies(t *testing.T, p *process, n int) {
	t.Helper()
	deadline := time.After(patience)
	for committedCopies(t) < n {
		select {
		case <-p.exited:
			t.Fatalf("the copy ended: %s", p.stderr.String())
		case <-deadline:
			t.Fatalf("%d of %d were copied within %v", committedCopies(t), n, patience)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// committedCopies returns how far the copy is.
func committedCopies(t *testing.T) (total int) {
	t.Helper()
	var described struct {
		Groups []struct {
			Partitions []struct {
				Committed *int `json:"committed_offset"`
			} `json:"partitions"`
		} `json:"groups"`
	}
	r := cli(t, "", "group", "describe", "copy.source.sink", "--format", "json")
	if r.code != 0 {
		return 0 // there is none yet
	}
	if err := json.Unmarshal([]byte(r.stdout), &described); err != nil {
		t.Fatal(err)
	}
	for _, group := range described.Groups {
		for _, p := range group.Partitions {
			if p.Committed != nil {
				total += *p.Committed
			}
		}
	}
	return total
}

func TestTheLaterCopyEndsTheEarlier(t *testing.T) {
	useBroker(t)
	numbered(t, "source")
	first := start(t, "copy", "source", "sink", "--exactly-once", "--follow")
	awaitCopies(t, first, 30)
	copied(t, "source", "sink", "--exactly-once")
	ok(t, "one more\n", "produce", "source")
	if code := first.exit(); code != 1 || !strings.Contains(first.stderr.String(), "another copy") {
		t.Errorf("exit code %d, %s", code, first.stderr.String())
	}
	if n, _ := copied(t, "source", "sink", "--exactly-once"); n != 1 {
		t.Errorf("%d of one new record were copied", n)
	}
}

func TestCopyFollowsUntilItIsStopped(t *testing.T) {
	useBroker(t)
	numbered(t, "source")
	p := start(t, "copy", "source", "sink", "--follow", "--format", "json")
	awaitCopies(t, p, 30)
	p.signal(syscall.SIGINT)
	if code := p.exit(); code != 0 || !strings.Contains(p.stdout.String(), `"copied_records": 10`) {
		t.Errorf("exit code %d, %s", code, p.stdout.String())
	}
}
