package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// useOrders makes a topic whose third record is no JSON.
func useOrders(t *testing.T) {
	t.Helper()
	useBroker(t)
	ok(t, `{"key":"a","value":"{\"total\":50}","timestamp":1700000000000}
{"key":"b","value":"{\"total\":150}","timestamp":1700000001000}
{"key":"c","value":"broken","timestamp":1700000002000}
{"key":"d","value":"{\"total\":250}","timestamp":1700000003000}
`, "produce", "orders", "-J")
}

const large = "select(.value|fromjson|.total > 100)"

func TestJqSelectsAndTransforms(t *testing.T) {
	useOrders(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--jq", "{key}"}, "{\"key\":\"a\"}\n{\"key\":\"b\"}\n{\"key\":\"c\"}\n{\"key\":\"d\"}\n"},
		{[]string{"--jq", ".key", "-n", "2"}, "\"a\"\n\"b\"\n"},
		{[]string{"--jq", ".key", "-r", "-n", "1"}, "a\n"},
		{[]string{"--jq", large + "|.key", "--jq-errors", "skip"}, "\"b\"\n\"d\"\n"},
		{[]string{"--jq", large, "--jq-errors", "skip", "-f", `%k\n`}, "b\nd\n"},
		{[]string{"--jq", `.key == "b"`, "-f", `%k\n`}, "b\n"},
		{[]string{"--jq", `.key == "b"`, "-K", "="}, "b={\"total\":150}\n"},
		{[]string{"--jq", large + "|.key", "--jq-errors", "skip", "-n", "1"}, "\"b\"\n"},
		{[]string{"--jq", large + "|.key", "--jq-errors", "skip", "--tail", "2", "-r"}, "b\nd\n"},
		{[]string{"--jq", ".key", "-G", "k:[cd]", "-r"}, "c\nd\n"},
		{[]string{"--jq", "empty"}, ""},
	} {
		args := append([]string{"consume", "orders"}, test.args...)
		if !strings.Contains(strings.Join(test.args, " "), "--tail") {
			args = append(args, "-e")
		}
		if got := ok(t, "", args...); got != test.want {
			t.Errorf("%q: got %q, want %q", test.args, got, test.want)
		}
	}
	selected := ok(t, "", "consume", "orders", "-e", "--jq", `select(.key == "a")`)
	ok(t, selected, "produce", "copy", "-J")
	if whole := ok(t, "", "consume", "orders", "-J", "-n", "1"); selected != whole {
		t.Errorf("a selected record is %q, and not %q", selected, whole)
	}
}

func TestARecordOnWhichJqFailsIsNamed(t *testing.T) {
	useOrders(t)
	r := cli(t, "", "consume", "orders", "-e", "--jq", large+"|.key")
	if want := "millrace: topic \"orders\" partition 0 offset 2: --jq: fromjson cannot be applied to"; r.code != 1 || r.stdout != "\"b\"\n" || !strings.HasPrefix(r.stderr, want) {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	for _, tail := range []string{"-e", "--tail=2"} {
		r = cli(t, "", "consume", "orders", tail, "--jq", large, "--jq-errors", "skip")
		if want := "millrace: 1 record left out, the first: topic \"orders\" partition 0 offset 2: --jq: fromjson"; r.code != 0 || !strings.HasPrefix(r.stderr, want) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, stderr %q", tail, r.code, r.stderr)
		}
	}
	begin := time.Now()
	r = cli(t, "", "consume", "orders", "-e", "--jq", "def f: f; f")
	if want := "millrace: topic \"orders\" partition 0 offset 0: --jq: the expression did not end within 1s\n"; r.code != 1 || r.stderr != want || time.Since(begin) > patience {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	// In a group, the record on which it fails stays for the next time.
	r = cli(t, "", "consume", "orders", "-e", "-g", "g", "--jq", large)
	if got := ok(t, "", "group", "describe", "g", "--no-headers"); r.code != 1 || !strings.Contains(got, "orders  0  2") {
		t.Errorf("exit code %d, group\n%s", r.code, got)
	}
}

func TestConsumePrintsInTheFormsOfKcat(t *testing.T) {
	useBroker(t)
	ok(t, "k1:v1;k2:v2;only;", "produce", "t", "-K", ":", "-D", ";")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-K", "="}, "k1=v1\nk2=v2\n=only\n"},
		{[]string{"-K", `\t`, "-D", `\0`}, "k1\tv1\x00k2\tv2\x00\tonly\x00"},
		{[]string{"-D", "%v, "}, "v1%v, v2%v, only%v, "},
		{[]string{"-r"}, "v1v2only"},
	} {
		if got := ok(t, "", append([]string{"consume", "t", "-e"}, test.args...)...); got != test.want {
			t.Errorf("%q: got %q, want %q", test.args, got, test.want)
		}
	}
}

func TestPrettyAndColours(t *testing.T) {
	useOrders(t)
	pretty := ok(t, "", "consume", "orders", "-n", "1", "--pretty")
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(pretty)); err != nil || !strings.HasPrefix(pretty, "{\n  \"topic\": \"orders\",\n") {
		t.Errorf("pretty %s, %v", pretty, err)
	}
	if got := ok(t, "", "consume", "orders", "-n", "1", "-J"); got != compact.String()+"\n" {
		t.Errorf("pretty says %q, and -J %q", compact.String(), got)
	}
	const escape = "\x1b["
	for args, colored := range map[string]bool{
		"-J": false, "-J --color auto": false, "-J --color always": true, "--pretty --color always": true, "--jq . --color always": true,
		"-J --color never": false, "-f %v --color always": false,
	} {
		if got := ok(t, "", append([]string{"consume", "orders", "-n", "1"}, strings.Fields(args)...)...); strings.Contains(got, escape) != colored {
			t.Errorf("%s: %q", args, got)
		}
	}
	flags := consumeFlags{color: "auto"}
	if colored, _ := flags.colored(true); !colored {
		t.Error("a terminal has no colours")
	}
	t.Setenv("NO_COLOR", "1")
	if colored, _ := flags.colored(true); colored {
		t.Error("NO_COLOR has colours")
	}
}

func TestTimestampsGoThroughFormats(t *testing.T) {
	useBroker(t)
	ok(t, "1700000000123 a\n1700000001456 b\n", "produce", "t", "-f", `%d{ascii} %v\n`)
	if got := ok(t, "", "consume", "t", "-e", "-f", `%d %v %d{go#2006-01-02T15:04:05.000Z07:00#}\n`); !strings.HasPrefix(got, "1700000000123 a 2023-11-14T22:13:20.123") {
		t.Errorf("consumed %q", got)
	}
}

func TestRateSpreadsRecordsOverTime(t *testing.T) {
	begun := time.Unix(0, 0)
	for n, want := range map[int64]time.Duration{0: 0, 1: 500 * time.Millisecond, 10: 5 * time.Second} {
		if got := dueAt(begun, n, 2).Sub(begun); got != want {
			t.Errorf("record %d is due after %v, want %v", n, got, want)
		}
	}
}
