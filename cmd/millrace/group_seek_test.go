package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// useGroup gives the group g the offsets 4 in each of the three partitions of t, which hold 0 to 9.
func useGroup(t *testing.T) {
	t.Helper()
	useBroker(t)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	numbered(t, "t")
	ok(t, "", "group", "seek", "g", "--to", "4", "--topic", "t", "--create", "--yes")
}

// offsetsOf returns the group's offsets in the partitions of t, "-" where there is none.
func offsetsOf(t *testing.T, group string) string {
	t.Helper()
	var exported groupOffsets
	decode(t, &exported, "group", "export", group)
	at := []string{"-", "-", "-"}
	for _, o := range exported.Offsets {
		at[o.Partition] = optional(o.Offset)
	}
	return strings.Join(at, " ")
}

func TestSeekGoesWhereAsked(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"--to start", "0 0 0"},
		{"--to end", "10 10 10"},
		{"--to 7", "7 7 7"},
		{"--to +3", "7 7 7"},
		{"--to -3", "1 1 1"},
		{"--to +300", "10 10 10"},
		{"--to +9223372036854775807", "10 10 10"},
		{"--to -300", "0 0 0"},
		{"--to @1700000025000", "8 8 8"},
		{"--to @now", "10 10 10"},
		{"--to end --topic t:1", "4 10 4"},
		{"--to end --topic t:0,2", "10 4 10"},
		{"--to 4", "4 4 4"},
		{"--to end --dry-run", "4 4 4"},
	} {
		useGroup(t)
		ok(t, "", append([]string{"group", "seek", "g", "--yes"}, strings.Fields(test.args)...)...)
		if got := offsetsOf(t, "g"); got != test.want {
			t.Errorf("group seek g %s: %s, want %s", test.args, got, test.want)
		}
	}
}

func TestSeekShowsItsPlan(t *testing.T) {
	useGroup(t)
	want := `TOPIC  PARTITION  FROM  TO  CHANGE  STATUS
t      0          4     10  +6      would be moved
t      1          4     10  +6      would be moved
t      2          4     10  +6      would be moved
`
	if got := ok(t, "", "group", "seek", "g", "--to", "end", "--dry-run"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	ok(t, "", "group", "delete-offsets", "g", "--topic", "t:1", "--yes")
	r := cli(t, "", "group", "seek", "g", "--topic", "t", "--to", "-2", "--yes")
	want = `TOPIC  PARTITION  FROM  TO  CHANGE  STATUS
t      0          4     2   -2      moved
t      1          -     -   -       failed
t      2          4     2   -2      moved
`
	if r.code != 1 || r.stdout != want || !strings.Contains(r.stderr, `topic "t" partition 1: the group has no offset to count from`) {
		t.Errorf("exit code %d, stderr %q, got\n%s\nwant\n%s", r.code, r.stderr, r.stdout, want)
	}
	if got := offsetsOf(t, "g"); got != "2 - 2" {
		t.Errorf("offsets %s", got)
	}
}

// What any of the commands changed, the file that it left brings back.
func TestEveryChangeOfOffsetsCanBeUndone(t *testing.T) {
	for _, line := range []string{
		"group seek g --to end --yes",
		"group seek g --to start --topic t:0 --yes",
		"group delete-offsets g --topic t:0 --yes",
		"group seek g --to-group other --yes",
	} {
		useGroup(t)
		ok(t, "", "group", "delete-offsets", "g", "--topic", "t:2", "--yes")
		ok(t, "", "group", "seek", "other", "--to", "9", "--topic", "t", "--create", "--yes")
		before := offsetsOf(t, "g")
		var plan movePlan
		decode(t, &plan, strings.Fields(line)...)
		if after := offsetsOf(t, "g"); after == before || plan.UndoFile == nil {
			t.Fatalf("%s changed nothing: %s, plan %+v", line, after, plan)
		}
		ok(t, "", "group", "import", *plan.UndoFile, "--yes")
		if got := offsetsOf(t, "g"); got != before {
			t.Errorf("after %s and its undoing: %s, want %s", line, got, before)
		}
	}
}

func TestWithoutAnUndoFileNothingChanges(t *testing.T) {
	useGroup(t)
	existing := filepath.Join(t.TempDir(), "undo.json")
	if err := os.WriteFile(existing, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{existing, filepath.Join(t.TempDir(), "no", "such", "directory")} {
		r := cli(t, "", "group", "seek", "g", "--to", "end", "--yes", "--undo", file)
		if r.code != 1 || !strings.Contains(r.stderr, "undo file: ") || !strings.Contains(r.stderr, "nothing was changed") || offsetsOf(t, "g") != "4 4 4" {
			t.Errorf("exit code %d, stderr %q, offsets %s", r.code, r.stderr, offsetsOf(t, "g"))
		}
	}
	if data, _ := os.ReadFile(existing); string(data) != "precious" {
		t.Errorf("the file was overwritten with %q", data)
	}
}

func TestTheOffsetsOfAnActiveGroupStay(t *testing.T) {
	useGroup(t)
	file := filepath.Join(t.TempDir(), "g.json")
	if err := os.WriteFile(file, []byte(ok(t, "", "group", "export", "g")), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	var out lockedBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"consume", "t", "-g", "g"}, strings.NewReader(""), &out, &bytes.Buffer{})
	}()
	eventually(t, "the member reads", func() bool { return strings.Contains(out.String(), "2-9") })
	for _, line := range []string{
		"group seek g --to start --yes", "group seek g --to start --dry-run", "group import " + file + " --yes",
		"group delete-offsets g --topic t --yes",
	} {
		r := cli(t, "", strings.Fields(line)...)
		if r.code != 1 || r.stdout != "" || !strings.HasPrefix(r.stderr, `millrace: group "g" is active, stop its 1 member first: millrace-cli-`) || !strings.Contains(r.stderr, " at 127.0.0.1") {
			t.Errorf("millrace %s: exit code %d, stderr %q", line, r.code, r.stderr)
		}
	}
	stop()
	<-done
}

func TestExportIsReadByImport(t *testing.T) {
	useGroup(t)
	file := filepath.Join(t.TempDir(), "g.json")
	exported := ok(t, "", "group", "export", "g")
	if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, "", "group", "seek", "g", "--to", "end", "--yes")
	ok(t, "", "group", "import", file, "--yes", "--group", "h")
	if g, h := offsetsOf(t, "g"), offsetsOf(t, "h"); g != "10 10 10" || h != "4 4 4" {
		t.Errorf("a file for another group: g at %s, h at %s", g, h)
	}
	ok(t, exported, "group", "import", "-", "--yes")
	if g := offsetsOf(t, "g"); g != "4 4 4" {
		t.Errorf("from stdin: g at %s", g)
	}
	ok(t, "", "group", "seek", "g", "--to-file", file, "--topic", "t:1", "--yes")
	ok(t, "", "group", "delete", "g", "--yes")
	ok(t, "", "group", "import", file, "--yes")
	if g := offsetsOf(t, "g"); g != "4 4 4" {
		t.Errorf("of a deleted group: g at %s", g)
	}
}

// changed returns a valid file of offsets with one thing changed.
func changed(t *testing.T, change func(*groupOffsets)) string {
	t.Helper()
	at := int64(1)
	g := &groupOffsets{
		File: offsetsFile, FileVersion: offsetsFileVersion, ClusterID: "c", Group: "g", Time: time.Unix(0, 0).UTC(),
		Offsets: []groupOffset{{Topic: "t", Offset: &at}},
	}
	change(g)
	text, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAFileThatIsNoneOrOfAnotherClusterIsRefused(t *testing.T) {
	useGroup(t)
	negative := int64(-1)
	for name, test := range map[string]struct{ text, want string }{
		"empty":           {"", "-: is no file of group export or group seek: unexpected end of JSON input"},
		"cut off":         {changed(t, func(*groupOffsets) {})[:40], "is no file of group export or group seek: unexpected end of JSON input"},
		"another JSON":    {`{"groups":[]}`, `its "file" is "" and not "millrace group offsets"`},
		"an array":        {`[]`, "its array at byte 1 is not of that form"},
		"later version":   {changed(t, func(g *groupOffsets) { g.FileVersion = 2 }), "version 2 of it, this program reads version 1"},
		"no group":        {changed(t, func(g *groupOffsets) { g.Group = "" }), "lacks the group"},
		"no topic":        {changed(t, func(g *groupOffsets) { g.Offsets[0].Topic = "" }), "entry 1 names no topic"},
		"negative":        {changed(t, func(g *groupOffsets) { g.Offsets[0].Offset = &negative }), "entry 1 names no topic"},
		"twice":           {changed(t, func(g *groupOffsets) { g.Offsets = append(g.Offsets, g.Offsets[0]) }), `topic "t" partition 0 is there twice`},
		"another cluster": {changed(t, func(*groupOffsets) {}), "- is from cluster c and this is "},
		"no offsets":      {changed(t, func(g *groupOffsets) { g.Offsets = nil }), "- is from cluster c"},
	} {
		r := cli(t, test.text, "group", "import", "-", "--yes")
		if r.code == 0 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, strings.TrimPrefix(test.want, "-: ")) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q, want %q", name, r.code, r.stdout, r.stderr, test.want)
		}
	}
	if got := offsetsOf(t, "g"); got != "4 4 4" {
		t.Errorf("offsets %s", got)
	}
	ok(t, changed(t, func(*groupOffsets) {}), "group", "import", "-", "--yes", "--force")
	if got := offsetsOf(t, "g"); got != "1 4 4" {
		t.Errorf("with --force %s", got)
	}
}

func TestSeekNamesWhatDoesNotExist(t *testing.T) {
	useGroup(t)
	for line, want := range map[string]string{
		"group seek gg --to start -y":                       `unknown group "gg", did you mean "g"?; --create makes it`,
		"group seek g --to-group x -y":                      `unknown group "x"`,
		"group seek g --to start --topic tt -y":             `unknown topic "tt", did you mean "t"?`,
		"group seek g --to start --topic t:9 -y":            `topic "t" has no partition 9, only 0 to 2`,
		"group seek g --to 11 -y":                           "offset 11 is not within 0 to 10",
		"group seek g --to-file /nonexistent -y":            "/nonexistent: no such file",
		"group seek g --to strat -y":                        `--to: unknown offset "strat"`,
		"group seek g --to @soon -y":                        `--to: "@soon" is no time`,
		"group seek g -y":                                   "needs one of --to, --to-group and --to-file",
		"group seek g --to 1 --to-group g -y":               "needs one of --to, --to-group and --to-file",
		"group seek g --to 1 --topic t:x -y":                `--topic: "t:x" is not TOPIC[:PARTITIONS]`,
		"group seek g --to 1 --topic t:1 --topic t:2 -y":    "--topic: t is there twice",
		"group seek g --to 1":                               "cannot ask for confirmation without a terminal, add --yes to change the offsets of group g",
		"group import x":                                    "open x: no such file",
		"group delete-offsets g --topic t":                  "cannot ask for confirmation without a terminal",
		"group delete-offsets g -y":                         "needs --topic",
		"group export gg":                                   `unknown group "gg"`,
		"group seek g h --to 1":                             "group seek: needs one GROUP",
		"group seek fresh --to start --create -y --dry-run": "has no offsets, name a topic with --topic",
	} {
		r := cli(t, "", strings.Fields(line)...)
		if r.code == 0 || !strings.Contains(r.stderr, want) {
			t.Errorf("millrace %s: exit code %d, stdout %q, stderr %q, want %q", line, r.code, r.stdout, r.stderr, want)
		}
	}
	if got := offsetsOf(t, "g"); got != "4 4 4" {
		t.Errorf("offsets %s", got)
	}
}
