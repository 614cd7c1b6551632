package jq

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/millrace/internal/envelope"
	"github.com/twmb/franz-go/pkg/kgo"
)

func record() *kgo.Record {
	return &kgo.Record{
		Topic: "t", Partition: 2, Offset: math.MaxInt64 - 1, Timestamp: time.UnixMilli(1_700_000_000_123), Key: []byte("k"),
		Value: []byte(`{"user":"ann","n":3}`), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0xff}}},
	}
}

func run(t *testing.T, expression string) (string, error) {
	t.Helper()
	filter, err := Parse(expression)
	if err != nil {
		return "", err
	}
	filter.timeMax = time.Hour
	results, err := filter.Run(t.Context(), record())
	var lines []string
	for _, result := range results {
		lines = append(lines, string(result.Append(nil, true)))
	}
	return strings.Join(lines, "\n"), err
}

func TestExpressionsSeeTheEnvelope(t *testing.T) {
	for expression, want := range map[string]string{
		".":                                      string(envelope.Append(nil, record())),
		`select(.key == "k")`:                    string(envelope.Append(nil, record())),
		`select(.key == "x")`:                    "",
		".value | fromjson | .user":              "ann",
		".value | fromjson | .n + 1":             "4",
		".offset":                                "9223372036854775806",
		".timestamp":                             "1700000000123",
		".headers[0].value.base64":               "/w==",
		".key, .topic":                           "k\nt",
		"{key}":                                  `{"key":"k"}`,
		"empty":                                  "",
		".partition == 2":                        "true",
		"$ENV | length":                          "0",
		"env | length":                           "0",
		`.key = "changed" | .key`:                "changed",
		`.value |= (fromjson | .n) | .value`:     "3",
		`[limit(3; range(1000000000000))] | add`: "3",
	} {
		if got, err := run(t, expression); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", expression, got, err, want)
		}
	}
}

func TestWhatDoesNotParseIsToldWithItsPlace(t *testing.T) {
	for expression, want := range map[string]string{
		".a |":                        `--jq: unexpected EOF at byte 4 of ".a |"`,
		"select(.key ==)":             `--jq: unexpected token ")" at byte 15 of "select(.key ==)"`,
		"nosuch":                      `--jq: function not defined: nosuch/0 in "nosuch"`,
		"$x":                          `--jq: variable not defined: $x in "$x"`,
		`include "x"; .`:              "--jq: ",
		`import "/etc/passwd" as $x;`: "--jq: ",
		"input":                       `--jq: input(s)/0 is not allowed`,
	} {
		if _, err := Parse(expression); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expression, err, want)
		}
	}
}

func TestWhatNeverEndsIsEnded(t *testing.T) {
	for expression, want := range map[string]string{
		"def f: f; f":                    "did not end within",
		"last(repeat(1))":                "did not end within",
		"repeat(1)":                      "more than 10000 results",
		"error(\"no\")":                  "error: no",
		".value.user":                    "expected an object but got: string",
		"halt":                           "halt",
		"until(false; . )":               "did not end within",
		"[recurse(.)] | length":          "did not end within",
		"first(range(1e18)|select(.<0))": "did not end within",
	} {
		filter, err := Parse(expression)
		if err != nil {
			t.Fatal(err)
		}
		filter.timeMax = time.Hour
		if want == "did not end within" {
			filter.timeMax = 50 * time.Millisecond
		}
		if _, err := filter.Run(t.Context(), record()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expression, err, want)
		}
	}
	filter, err := Parse("def f: f; f")
	if err != nil {
		t.Fatal(err)
	}
	filter.timeMax = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := filter.Run(ctx, record()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the end of the command: %v", err)
	}
}

// A single step cannot be interrupted, and may take any time and memory: Run does not wait for it.
func TestWhatCannotBeEndedIsNotWaitedFor(t *testing.T) {
	for expression, want := range map[string]string{
		`reduce range(23) as $i ("x"; [., .]) | tojson | length`: "took more than 1 MiB of memory",
		`reduce range(23) as $i ("x"; [., .])`:                   "took more than 1 MiB of memory",
	} {
		filter, err := Parse(expression)
		if err != nil {
			t.Fatal(err)
		}
		filter.timeMax, filter.memoryMax = time.Hour, 1<<20
		if _, err := filter.Run(t.Context(), record()); !errors.Is(err, ErrRunaway) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expression, err, want)
		}
	}
}

// Nor for one that is long only. The time is over either in that step or, on a slow machine, before it, where the expression ends.
func TestAStepThatTakesTooLongIsNotWaitedFor(t *testing.T) {
	filter, err := Parse(`"1" * 1000000 | tonumber | tostring | length`)
	if err != nil {
		t.Fatal(err)
	}
	filter.memoryMax = 1 << 40
	for filter.timeMax = time.Millisecond; ; filter.timeMax *= 2 {
		_, err := filter.Run(t.Context(), record())
		if err == nil || !strings.Contains(err.Error(), "did not end within") {
			t.Fatalf("within %v: %v", filter.timeMax, err)
		}
		if errors.Is(err, ErrRunaway) {
			return
		}
	}
}
