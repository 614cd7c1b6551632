package main

import (
	"strings"
	"testing"
)

func TestTrimDeletesWhatComesBefore(t *testing.T) {
	for _, test := range []struct{ args, left string }{
		{"--to 4", "0-4 0-5 0-6 0-7 0-8 0-9 1-4 1-5 1-6 1-7 1-8 1-9 2-4 2-5 2-6 2-7 2-8 2-9"},
		{"--to -1", "0-9 1-9 2-9"},
		{"--to +9", "0-9 1-9 2-9"},
		{"--to end", ""},
		{"--to start -p 0", "0-0 0-1 0-2 0-3 0-4 0-5 0-6 0-7 0-8 0-9 1-0 1-1 1-2 1-3 1-4 1-5 1-6 1-7 1-8 1-9 2-0 2-1 2-2 2-3 2-4 2-5 2-6 2-7 2-8 2-9"},
		{"--to end -p 0,1", "2-0 2-1 2-2 2-3 2-4 2-5 2-6 2-7 2-8 2-9"},
		{"--to @1700000028000", "0-9 1-9 2-9"},
	} {
		useBroker(t)
		numbered(t, "t")
		before := ok(t, "", "consume", "t", "-e")
		line := append([]string{"topic", "trim", "t"}, strings.Fields(test.args)...)
		ok(t, "", append(line, "--dry-run")...)
		if got := ok(t, "", "consume", "t", "-e"); len(got) != len(before) {
			t.Errorf("%s: a dry run left %q", test.args, got)
		}
		ok(t, "", append(line, "--yes")...)
		if got := strings.Fields(ok(t, "", "consume", "t", "-e")); !sameSet(got, strings.Fields(test.left)) {
			t.Errorf("%s left %q, want %q", test.args, got, test.left)
		}
	}
}

func TestTrimShowsItsPlan(t *testing.T) {
	useBroker(t)
	numbered(t, "t")
	ok(t, "", "topic", "trim", "t", "-p", "1", "--to", "4", "--yes")
	want := `TOPIC  PARTITION  LOG-START  LOG-END  TO  DELETED  STATUS
t      0          0          10       3   3        would be trimmed
t      1          4          10       4   0        nothing to delete
t      2          0          10       3   3        would be trimmed
`
	if got := ok(t, "", "topic", "trim", "t", "--to", "3", "--dry-run"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r := cli(t, "", "topic", "trim", "t", "--to", "11", "--yes")
	if want := "millrace: topic \"t\" partition 0: offset 11 is behind its end 10\n"; r.code != 1 || !strings.HasPrefix(r.stderr, want) {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	for line, want := range map[string]string{
		"topic trim tt --to 1 -y":      "millrace: unknown topic \"tt\", did you mean \"t\"?\n",
		"topic trim t --to 1 -p 3 -y":  "millrace: topic \"t\" has no partition 3, only 0 to 2\n",
		"topic trim t x --to end -y":   "millrace: unknown topic \"x\"",
		"topic trim t --to end -p 0-7": "millrace: topic trim: cannot ask for confirmation without a terminal, add --yes to delete records\n",
	} {
		if r := cli(t, "", strings.Fields(line)...); r.code == 0 || r.stdout != "" || !strings.HasPrefix(r.stderr, want) {
			t.Errorf("millrace %s: exit code %d, stdout %q, stderr %q", line, r.code, r.stdout, r.stderr)
		}
	}
	if got := len(strings.Fields(ok(t, "", "consume", "t", "-e"))); got != 26 {
		t.Errorf("%d records are left, want 26", got)
	}
}

func TestAChangeThatDeletesRecordsIsConfirmed(t *testing.T) {
	useBroker(t)
	ok(t, "", "topic", "create", "t", "-c", "retention.ms=1000000")
	for line, want := range map[string]string{
		"-c retention.ms=1000":          "retention.ms of topic t from 1000000 to 1000",
		"-c retention.bytes=5":          "retention.bytes of topic t from -1 to 5",
		"--unset retention.ms":          "", // the default is longer
		"-c cleanup.policy=compact":     "cleanup.policy of topic t from delete to compact",
		"-c retention.ms=2000000":       "",
		"-c retention.ms=-1":            "",
		"-c segment.bytes=1048576":      "",
		"-c retention.ms=1000 --yes":    "",
		"-c retention.ms=1 --dry-run":   "",
		"-c cleanup.policy=delete":      "",
		"-c retention.ms=1 -c flush=os": "retention.ms of topic t from 1000000 to 1",
	} {
		ok(t, "", "topic", "alter", "t", "-c", "retention.ms=1000000", "-c", "cleanup.policy=delete", "--yes")
		r := cli(t, "", append([]string{"topic", "alter", "t"}, strings.Fields(line)...)...)
		if (r.code == 2) != (want != "") || !strings.Contains(r.stderr, want) {
			t.Errorf("topic alter t %s: exit code %d, stderr %q, want %q", line, r.code, r.stderr, want)
		}
	}
	ok(t, "", "topic", "alter", "t", "-c", "retention.ms=9999999999", "--yes") // the last line of the map, whichever that is, may have unlimited it
	if r := cli(t, "", "topic", "alter", "t", "--unset", "retention.ms"); r.code != 2 || !strings.Contains(r.stderr, "retention.ms of topic t from 9999999999 to 604800000") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}
