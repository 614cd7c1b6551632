package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/millrace/internal/clientconfig"
)

// printed is the format that the tests of produce compare in: everything but time.
const printed = `%p:%o %k=%v %h{%k=%v,}\n`

func TestProduceReadsEveryForm(t *testing.T) {
	useBroker(t)
	for i, test := range []struct {
		name  string
		args  []string
		stdin string
		want  string
	}{
		{"lines", nil, "a\nb\n", "0:0 =a \n0:1 =b \n"},
		{"last line without a newline", nil, "a\nb", "0:0 =a \n0:1 =b \n"},
		{"an empty line is an empty value", nil, "\n\n", "0:0 = \n0:1 = \n"},
		{"nothing", nil, "", ""},
		{"carriage returns are kept", nil, "a\r\n", "0:0 =a\r \n"},
		{"fixed key", []string{"-k", "x"}, "a\n", "0:0 x=a \n"},
		{"headers in order with duplicates", []string{"-H", "b=1", "-H", "a:2=3", "-H", "b="}, "a\n", "0:0 =a b=1,a=2=3,b=,\n"},
		{"key delimiter", []string{"-K", ":"}, "k:v:w\nonly\n:e\n", "0:0 k=v:w \n0:1 =only \n0:2 =e \n"},
		{"tab as key delimiter", []string{"-K", `\t`}, "k\tv\n", "0:0 k=v \n"},
		{"delimiter and key", []string{"-K", ":", "-k", "x"}, "k:v\nonly\n", "0:0 k=v \n0:1 x=only \n"},
		{"format", []string{"-f", `%k %v\n`}, "k v w\nk2 v2\n", "0:0 k=v w \n0:1 k2=v2 \n"},
		{"format, last line without a newline", []string{"-f", `%k %v\n`}, "k v\nk2 v2", "0:0 k=v \n0:1 k2=v2 \n"},
		{"format with sizes", []string{"-f", `%V{big8}%v`}, "\x02ab\x01c", "0:0 =ab \n0:1 =c \n"},
		{"format of headers", []string{"-f", `%H{ascii}%h{ %k=%v }|%v\n`}, "1 a=b |v\n", "0:0 =v a=b,\n"},
		{"partition of the format", []string{"-f", `%p %v\n`}, "2 a\n", "2:0 =a \n"},
		{"partition", []string{"-p", "1"}, "a\n", "1:0 =a \n"},
		{"partition wins over JSON", []string{"-p", "1", "-J"}, `{"value":"a","partition":2}`, "1:0 =a \n"},
		{"JSON", []string{"-J"}, "{\"value\":\"a\",\"key\":\"k\",\"partition\":2}\n\n{\"value\":null,\"partition\":2}\n", "2:0 k=a \n2:1 = \n"},
		{"json as a format", []string{"-f", "json"}, `{"value":"a","partition":0}`, "0:0 =a \n"},
		{"codec", []string{"-z", "zstd"}, "a\n", "0:0 =a \n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			topic := fmt.Sprintf("t%d", i)
			partitions := "1"
			if strings.Contains(test.want, "2:0") || strings.Contains(test.want, "1:0 =") {
				partitions = "3"
			}
			ok(t, "", "topic", "create", topic, "-p", partitions)
			ok(t, test.stdin, append([]string{"produce", topic}, test.args...)...)
			if got := ok(t, "", "consume", topic, "-e", "-f", printed); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTombstonesAreNullAndEmptyIsNot(t *testing.T) {
	useBroker(t)
	ok(t, "\na\n", "produce", "t", "-Z", "-k", "k")
	ok(t, "\n", "produce", "t", "-k", "k")
	var values []string
	for line := range strings.Lines(ok(t, "", "consume", "t", "-e", "-J")) {
		_, rest, _ := strings.Cut(line, `"value":`)
		value, _, _ := strings.Cut(rest, `,"headers"`)
		values = append(values, value)
	}
	if got := strings.Join(values, " "); got != `null "a" ""` {
		t.Errorf("values %s", got)
	}
}

func TestEveryCodecArrives(t *testing.T) {
	useBroker(t)
	// A batch may hold a single record, and one that compression does not make smaller goes out as it is.
	line := strings.Repeat("compresses well even alone, ", 40) + "\n"
	for _, codec := range clientconfig.Codecs {
		ok(t, strings.Repeat(line, 100), "produce", "t-"+codec, "-z", codec)
		got := ok(t, "", "consume", "t-"+codec, "-e", "-f", `%a{compression}\n`)
		if want := strings.Repeat(codec+"\n", 100); got != want {
			t.Errorf("%s: printed %.60q...", codec, got)
		}
	}
}

// A bad line is told with its number; every other line is sent.
func TestBadLinesAreToldAndTheOthersSent(t *testing.T) {
	useBroker(t)
	ok(t, "", "topic", "create", "t", "-p", "2")
	r := cli(t, `{"value":"1","partition":0}
{"vlaue":"2"}
{"value":"3","partition":7}
{"value":"4","partition":0}
not json
{"value":"6","partition":0}`, "produce", "t", "-J")
	want := `millrace: stdin line 2: unknown field "vlaue", did you mean "value"?
millrace: stdin line 3: topic "t" has no partition 7, only 0 to 1
millrace: stdin line 5: not a JSON object: invalid character 'o' in literal null (expecting 'u') at byte 2
3 records written to t, 3 failed
`
	if r.code != 1 || r.stdout != "" || r.stderr != want {
		t.Errorf("exit code %d, stdout %q, stderr\n%s\nwant\n%s", r.code, r.stdout, r.stderr, want)
	}
	if got := ok(t, "", "consume", "t", "-e"); got != "1\n4\n6\n" {
		t.Errorf("consumed %q", got)
	}
}

func TestManyBadLinesAreCounted(t *testing.T) {
	useBroker(t)
	r := cli(t, strings.Repeat("x\n", 100), "produce", "t", "-J")
	if lines := strings.Count(r.stderr, "\n"); r.code != 1 || lines > failureLinesMax+3 || !strings.Contains(r.stderr, "and 80 more failures") {
		t.Errorf("exit code %d, %d lines:\n%s", r.code, lines, r.stderr)
	}
}

func TestABrokenFormatEndsTheInputWithItsPlace(t *testing.T) {
	useBroker(t)
	r := cli(t, "1 a\n2 b\nx c\n3 d\n", "produce", "t", "-f", `%p{ascii} %v\n`, "-p", "0")
	if r.code != 1 || !strings.Contains(r.stderr, "stdin record 3: ") || !strings.Contains(r.stderr, "nothing from there on was sent") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if got := ok(t, "", "consume", "t", "-e"); got != "a\nb\n" {
		t.Errorf("consumed %q", got)
	}
	r = cli(t, "\x05ab", "produce", "t", "-f", `%V{big8}%v`)
	if r.code != 1 || !strings.Contains(r.stderr, "stdin record 1: the input ends within the record") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

func TestProduceReadsFilesInTurn(t *testing.T) {
	useBroker(t)
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := os.WriteFile(a, []byte("1\n2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b, []byte("4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, "3\n", "produce", "t", a, "-", b)
	if got := ok(t, "", "consume", "t", "-e"); got != "1\n2\n3\n4\n" {
		t.Errorf("consumed %q", got)
	}
	r := cli(t, "", "produce", "t2", a, filepath.Join(dir, "absent"))
	if r.code != 1 || !strings.Contains(r.stderr, "absent: no such file") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if r := cli(t, "", "consume", "t2", "-e"); r.code != 1 {
		t.Error("the topic was written although a file is missing")
	}
}

func TestProduceTellsOfANewTopicAndTheBrokersRefusal(t *testing.T) {
	useBroker(t)
	r := cli(t, "a\n", "produce", "clicks")
	if want := "topic \"clicks\" is new, created by the broker\n1 record written to clicks\n"; r.code != 0 || r.stderr != want || r.stdout != "" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if r := cli(t, "a\n", "produce", "clicks", "-p", "3"); r.code != 1 || r.stderr != "millrace: topic \"clicks\" has no partition 3, only 0 to 0\n" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if r := cli(t, "a\n", "produce", "no/topic"); r.code != 1 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, `"no/topic"`) {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	ok(t, "", "topic", "create", "small", "-c", "max.message.bytes=100")
	r = cli(t, "short\n"+strings.Repeat("x", 1000)+"\n", "produce", "small", "-p", "0")
	if r.code != 1 || !strings.Contains(r.stderr, "MESSAGE_TOO_LARGE") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

// A record may be as large as its topic says, above what clients put into a batch by themselves.
func TestLargeRecordsGoThrough(t *testing.T) {
	useBroker(t)
	ok(t, "", "topic", "create", "large", "-c", "max.message.bytes=8000000")
	line := strings.Repeat("x", 5_000_000) + "\n"
	ok(t, line, "produce", "large")
	if got := ok(t, "", "consume", "large", "-e"); got != line {
		t.Errorf("consumed %d bytes, want %d", len(got), len(line))
	}
}

func TestProduceWithoutAutomaticTopicsNamesTheNearest(t *testing.T) {
	_, _ = serve(t, "--in-memory", "-X", "auto.create.topics.enable=false", "--topic", "clicks")
	r := cli(t, "a\n", "produce", "clikcs")
	if want := "millrace: unknown topic \"clikcs\", did you mean \"clicks\"?; create it with `millrace topic create`\n"; r.code != 1 || r.stderr != want {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}
