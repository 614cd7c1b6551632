package stage

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/broker"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "greetings"

var errBroken = errors.New("broken")

// echo writes records and reads them again.
var echo = Example{Name: "echo", About: "Write and read.", Count: 3, Run: func(ctx context.Context, s *Stage) error {
	if err := s.CreateTopics(ctx, 2, topic); err != nil {
		return err
	}
	greetings := func(yield func(*kgo.Record, error) bool) {
		for range s.Count {
			if !yield(&kgo.Record{Topic: topic, Value: []byte("hello")}, nil) {
				return
			}
		}
	}
	if err := s.Produce(ctx, greetings); err != nil {
		return err
	}
	if err := s.Await(ctx, topic, s.Count); err != nil {
		return err
	}
	read := int64(0)
	for _, err := range s.All(ctx, topic) {
		if err != nil {
			return err
		}
		read++
	}
	s.Verified("read %d", read)
	return nil
}}

func with(e Example, body func(context.Context, *Stage) error) Example {
	e.Run = body
	return e
}

func TestAnExampleEndsInItsVerdict(t *testing.T) {
	for _, test := range []struct {
		name      string
		example   Example
		arguments []string
		code      int
		stdout    string
		stderr    string
	}{
		{"verified", echo, []string{"-count", "7"}, 0, "verified: read 7\n", ""},
		{"help", echo, []string{"-help"}, 0, "", "Write and read.\n"},
		{"wrong flag", echo, []string{"-x"}, 2, "", "not defined: -x"},
		{"nothing to do", echo, []string{"-count", "0"}, 2, "", "-count"},
		{"fails", with(echo, func(context.Context, *Stage) error { return errBroken }), nil, 1, "", "echo: broken\n"},
		{"no verdict", with(echo, func(context.Context, *Stage) error { return nil }), nil, 1, "", ErrUnverified.Error()},
		{"out of time", with(echo, func(ctx context.Context, _ *Stage) error { <-ctx.Done(); return ctx.Err() }),
			[]string{"-timeout", "1ms"}, 1, "", "deadline exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), test.example, test.arguments, &stdout, &stderr)
			if code != test.code || stdout.String() != test.stdout || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
			}
		})
	}
}

func TestWhatAnEarlierRunLeftIsDeletedOnRequestOnly(t *testing.T) {
	b, err := broker.New(broker.Options{InMemory: true, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var out bytes.Buffer
	options := Options{Example: echo, Brokers: []string{b.Addr().String()}, Count: 2, Out: &out}
	if err := Run(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), options); err == nil || !strings.Contains(err.Error(), "greetings are there already") {
		t.Errorf("the second run: %v", err)
	}
	options.Clean = true
	if err := Run(t.Context(), options); err != nil {
		t.Errorf("a clean run: %v", err)
	}
	if want := strings.Repeat("verified: read 2\n", 2); out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestWhileReturnsWhatWentWrongFirst(t *testing.T) {
	untilItEnds := func(ctx context.Context) error { <-ctx.Done(); return nil }
	nothing := func(context.Context) error { return nil }
	fails := func(context.Context) error { return errBroken }
	for name, test := range map[string]struct {
		application, work func(context.Context) error
		want              error
	}{
		"nothing":               {untilItEnds, nothing, nil},
		"the work":              {untilItEnds, fails, errBroken},
		"the application":       {fails, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, errBroken},
		"it ends by itself":     {nothing, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, errEnded},
		"the application's end": {func(ctx context.Context) error { <-ctx.Done(); return errBroken }, nothing, errBroken},
	} {
		if err := While(t.Context(), test.application, test.work); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestTheDirectoryIsGoneAfterwards(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var dirs []string
	e := with(echo, func(_ context.Context, s *Stage) error { dirs = append(dirs, s.Dir); return errBroken })
	_ = Run(t.Context(), Options{Example: e, Out: &bytes.Buffer{}})
	if len(dirs) != 1 {
		t.Fatalf("ran %d times", len(dirs))
	}
	if _, err := os.Stat(dirs[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", dirs[0], err)
	}
}
