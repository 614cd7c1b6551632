package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// numbered makes a topic with three partitions; p holds p0, p1, ... p9 with timestamps in one row
// over all partitions: 1000, 2000, ... ms.
func numbered(t *testing.T, topic string) {
	t.Helper()
	ok(t, "", "topic", "create", topic, "-p", "3")
	var lines strings.Builder
	for i := range 30 {
		fmt.Fprintf(&lines, `{"partition":%d,"timestamp":%d,"key":"k%d","value":"%d-%d","headers":[{"key":"third","value":"%d"}]}`+"\n",
			i%3, 1_700_000_000_000+(i+1)*1000, i%5, i%3, i/3, i%3)
	}
	ok(t, lines.String(), "produce", topic, "-J")
}

func TestConsumeBeginsAndEndsWhereAsked(t *testing.T) {
	useBroker(t)
	numbered(t, "t")
	for _, test := range []struct{ args, want string }{
		{"-p 0 -e", "0-0 0-1 0-2 0-3 0-4 0-5 0-6 0-7 0-8 0-9"},
		{"-p 0 -o start -e", "0-0 0-1 0-2 0-3 0-4 0-5 0-6 0-7 0-8 0-9"},
		{"-p 0 -o end -e", ""},
		{"-p 0 -o 8 -e", "0-8 0-9"},
		{"-p 0 -o 80 -e", ""},
		{"-p 0 -o +7 -e", "0-7 0-8 0-9"},
		{"-p 0 -o -2 -e", "0-8 0-9"},
		{"-p 0 -o -200 -e -n 2", "0-0 0-1"},
		{"-p 0 -o 3:5", "0-3 0-4"},
		{"-p 0 -o :2", "0-0 0-1"},
		{"-p 0 -o :end -n 1", "0-0"},
		{"-p 0 -o -2:end", "0-8 0-9"},
		{"-p 0 -o 8:100 -e", "0-8 0-9"},
		{"-p 0 -o 5:5", ""},
		{"-p 0 -o @1700000025000 -e", "0-8 0-9"},
		{"-p 0 -o @1700000024001 -e", "0-8 0-9"},
		{"-p 0 -o @1700000004000:@1700000010000", "0-1 0-2"},
		{"-p 0 -o @1700000004000:1700000010000", "0-1 0-2"},
		{"-p 0 -o @2023-11-14T22:13:45Z -e", "0-8 0-9"},
		{"-p 0 -o @now -e", ""}, // a time after all records is the end
		{"-p 1,2 -o -1 -e", "1-9 2-9"},
		{"-p 0-1 -o -1 -e", "0-9 1-9"},
		{"-o -1 -e", "0-9 1-9 2-9"},
		{"-p 2 -n 3", "2-0 2-1 2-2"},
		{"-p 0 -e -G v:[13579]$", "0-1 0-3 0-5 0-7 0-9"},
		{"-p 0 -e -G k:k0 -G !v:-5", "0-0"},
		{"-e -G h:third=2 -n 2", "2-0 2-1"},
		{"-e -G k:nothing", ""},
		{"-n 1 -p 0 -G v:-9", "0-9"},
	} {
		got := strings.Fields(ok(t, "", append([]string{"consume", "t"}, strings.Fields(test.args)...)...))
		if !sameSet(got, strings.Fields(test.want)) {
			t.Errorf("consume t %s = %q, want %q", test.args, got, test.want)
		}
	}
}

// sameSet compares without the order of partitions among each other.
func sameSet(got, want []string) bool {
	if len(got) != len(want) {
		return false
	}
	last := map[string]string{}
	seen := map[string]bool{}
	for _, value := range got {
		partition, offset, _ := strings.Cut(value, "-")
		if last[partition] >= offset && last[partition] != "" {
			return false
		}
		last[partition], seen[value] = offset, true
	}
	for _, value := range want {
		if !seen[value] {
			return false
		}
	}
	return true
}

func TestTailIsTheLastOverAllPartitionsByTime(t *testing.T) {
	useBroker(t)
	numbered(t, "t")
	for _, test := range []struct{ args, want string }{
		{"--tail 4", "2-8 0-9 1-9 2-9"},
		{"--tail 1", "2-9"},
		{"--tail 3 -p 1", "1-7 1-8 1-9"},
		{"--tail 2 -G v:-0", "1-0 2-0"}, // far behind the last two
		{"--tail 2 -G v:nothing", ""},
	} {
		got := strings.Fields(ok(t, "", append([]string{"consume", "t"}, strings.Fields(test.args)...)...))
		if strings.Join(got, " ") != test.want {
			t.Errorf("consume t %s = %q, want %q", test.args, got, test.want)
		}
	}
	if got := len(strings.Fields(ok(t, "", "consume", "t", "--tail", "1000"))); got != 30 {
		t.Errorf("a tail longer than the topic has %d records, want 30", got)
	}
	ok(t, "", "topic", "create", "empty")
	if got := ok(t, "", "consume", "empty", "--tail", "3"); got != "" {
		t.Errorf("the tail of an empty topic is %q", got)
	}
}

func TestTailKeepsThePartitionsOrderWhenTimesGoBack(t *testing.T) {
	useBroker(t)
	ok(t, `{"value":"a","timestamp":3000}
{"value":"b","timestamp":1000}
{"value":"c","timestamp":2000}
`, "produce", "t", "-J")
	if got := ok(t, "", "consume", "t", "--tail", "2"); got != "b\nc\n" {
		t.Errorf("got %q", got)
	}
}

func TestConsumeOfSeveralTopics(t *testing.T) {
	useBroker(t)
	ok(t, "1\n", "produce", "a")
	ok(t, "2\n", "produce", "b")
	got := strings.Fields(ok(t, "", "consume", "a", "b", "-e", "-f", `%t=%v\n`))
	if len(got) != 2 || !strings.Contains(strings.Join(got, " "), "a=1") || !strings.Contains(strings.Join(got, " "), "b=2") {
		t.Errorf("got %q", got)
	}
}

func TestConsumeNamesWhatDoesNotExist(t *testing.T) {
	useBroker(t)
	ok(t, "1\n", "produce", "clicks")
	for line, want := range map[string]string{
		"consume clikcs":          "millrace: unknown topic \"clikcs\", did you mean \"clicks\"?\n",
		"consume clicks clikcs":   "millrace: unknown topic \"clikcs\", did you mean \"clicks\"?\n",
		"consume clikcs -g g":     "millrace: unknown topic \"clikcs\", did you mean \"clicks\"?\n",
		"consume clicks -p 0,4":   "millrace: topic \"clicks\" has no partition 4, only 0 to 0\n",
		"consume clikcs --tail 1": "millrace: unknown topic \"clikcs\", did you mean \"clicks\"?\n",
	} {
		if r := cli(t, "", strings.Fields(line)...); r.code != 1 || r.stdout != "" || r.stderr != want {
			t.Errorf("millrace %s: exit code %d, stderr %q", line, r.code, r.stderr)
		}
	}
	if got := ok(t, "", "topic", "list", "--no-headers"); got != "clicks  1  1\n" {
		t.Errorf("a slip of the keyboard made a topic:\n%s", got)
	}
}

func TestTooFewRecordsWithinTheTimeoutFail(t *testing.T) {
	useBroker(t)
	ok(t, "1\n2\n", "produce", "t")
	r := cli(t, "", "consume", "t", "-n", "3", "--timeout", "4s")
	if r.code != 1 || r.stdout != "1\n2\n" || r.stderr != "millrace: too few records: 2 of 3 within 4s\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	if r := cli(t, "", "consume", "t", "-n", "2", "--timeout", "20s"); r.code != 0 || r.stderr != "" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if r := cli(t, "", "consume", "t", "--timeout", "4s"); r.code != 0 || r.stdout != "1\n2\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
}

func TestAGroupGoesOnWhereItStopped(t *testing.T) {
	useBroker(t)
	numbered(t, "t")
	seen := map[string]int{}
	collect := func(args ...string) int {
		got := strings.Fields(ok(t, "", append([]string{"consume", "t", "-g", "g"}, args...)...))
		for _, value := range got {
			seen[value]++
		}
		return len(got)
	}
	if n := collect("-n", "7"); n != 7 {
		t.Errorf("-n 7 printed %d", n)
	}
	if n := collect("-n", "5"); n != 5 {
		t.Errorf("-n 5 printed %d", n)
	}
	if n := collect("-e"); n != 18 {
		t.Errorf("the rest is %d records, want 18", n)
	}
	if n := collect("-e"); n != 0 {
		t.Errorf("after the end there are %d records", n)
	}
	for value, times := range seen {
		if times != 1 {
			t.Errorf("%s was printed %d times", value, times)
		}
	}
	if got := ok(t, "", "group", "describe", "g"); !strings.Contains(got, "state Empty") || !strings.Contains(got, "lag 0") {
		t.Errorf("group describe:\n%s", got)
	}
}

func TestTheOffsetOfAGroupCountsOnlyWithoutACommit(t *testing.T) {
	useBroker(t)
	ok(t, "1\n2\n3\n", "produce", "t")
	if got := ok(t, "", "consume", "t", "-g", "g", "-o", "-1", "-e"); got != "3\n" {
		t.Errorf("first %q", got)
	}
	ok(t, "4\n", "produce", "t")
	if got := ok(t, "", "consume", "t", "-g", "g", "-o", "start", "-e"); got != "4\n" {
		t.Errorf("then %q", got)
	}
	if got := ok(t, "", "consume", "t", "-g", "other", "-o", "1:3"); got != "2\n3\n" {
		t.Errorf("a range %q", got)
	}
}

// What the reader of the output did not get is not committed: it is printed again.
func TestNothingIsCommittedBeforeItWasWritten(t *testing.T) {
	useBroker(t)
	ok(t, "1\n2\n", "produce", "t")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stderr bytes.Buffer
	for _, broken := range []io.Writer{failingWriter{}, closedPipe()} {
		run(ctx, []string{"consume", "t", "-g", "g", "-e"}, strings.NewReader(""), broken, &stderr)
		if got := ok(t, "", "group", "describe", "g", "--no-headers"); strings.Contains(got, "t  0  2") {
			t.Errorf("committed what was not written:\n%s", got)
		}
	}
	if got := ok(t, "", "consume", "t", "-g", "g", "-e"); got != "1\n2\n" {
		t.Errorf("after two failures the group gets %q", got)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("disk full") }

// closedPipe is a pipe whose reader has gone.
func closedPipe() io.Writer {
	r, w := io.Pipe()
	r.Close()
	return w
}

func TestAFailingOutputIsAFailureAndAGoneReaderIsNot(t *testing.T) {
	useBroker(t)
	ok(t, "1\n", "produce", "t")
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"consume", "t", "-e"}, strings.NewReader(""), failingWriter{}, &stderr); code != 1 || stderr.String() != "millrace: disk full\n" {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
	stderr.Reset()
	if code := run(t.Context(), []string{"consume", "t", "-e"}, strings.NewReader(""), closedPipe(), &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}

// Records are printed when they come, not when a buffer is full.
func TestRecordsArePrintedPromptly(t *testing.T) {
	useBroker(t)
	ok(t, "first\n", "produce", "t")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reader, writer := io.Pipe()
	done := make(chan int, 1)
	go func() {
		code := run(ctx, []string{"consume", "t"}, strings.NewReader(""), writer, io.Discard)
		writer.Close()
		done <- code
	}()
	buf := make([]byte, 100)
	for i, want := range []string{"first\n", "2\n", "3\n"} {
		if i > 0 {
			ok(t, strconv.Itoa(i+1)+"\n", "produce", "t")
		}
		if n, err := reader.Read(buf); err != nil || string(buf[:n]) != want {
			t.Fatalf("read %q, %v, want %q", buf[:n], err, want)
		}
	}
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d after the end of its context", code)
	}
}

func TestTwoMembersShareAGroup(t *testing.T) {
	useBroker(t)
	numbered(t, "t")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	member, stop := context.WithCancel(ctx)
	defer stop()
	var first lockedBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(member, []string{"consume", "t", "-g", "g"}, strings.NewReader(""), &first, io.Discard)
	}()
	eventually(t, "the first member has everything", func() bool { return strings.Count(first.String(), "\n") == 30 })
	var second lockedBuffer
	go func() {
		done <- run(ctx, []string{"consume", "t", "-g", "g"}, strings.NewReader(""), &second, io.Discard)
	}()
	eventually(t, "both are members", func() bool {
		return strings.Count(ok(t, "", "group", "describe", "g", "--format", "yaml"), "client_id") == 2
	})
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
	ok(t, "after\n", "produce", "t")
	eventually(t, "the second member takes over", func() bool { return strings.Contains(second.String(), "after") })
	cancel()
	<-done
	if strings.Contains(second.String(), "-") {
		t.Errorf("the second member printed what the first had committed:\n%s", second.String())
	}
}

// cancelledDial is the error of an attempt to connect that was given up.
func cancelledDial(t *testing.T) error {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:1")
	return err
}

func TestLossIsToldOnceAndEndsOnlyWhatHasAnEnd(t *testing.T) {
	for _, giveUp := range []bool{true, false} {
		var stderr bytes.Buffer
		ctx, cancel := context.WithCancelCause(t.Context())
		w := newLossWatch(&stderr, giveUp, cancel)
		start := time.Unix(0, 0)
		w.note("a:1", nil, start)
		w.note("a:1", cancelledDial(t), start)
		if stderr.Len() > 0 {
			t.Errorf("an attempt that the client gave up itself is told as a loss: %s", &stderr)
		}
		w.note("a:1", io.EOF, start)
		w.note("a:1", io.EOF, start.Add(lostMax))
		if ctx.Err() != nil {
			t.Error("gave up too early")
		}
		w.note("a:1", nil, start.Add(lostMax))
		w.note("a:1", io.EOF, start.Add(lostMax))
		w.note("a:1", io.EOF, start.Add(2*lostMax+1))
		if (ctx.Err() != nil) != giveUp {
			t.Errorf("with giveUp %v the context ended: %v", giveUp, context.Cause(ctx))
		}
		if lines := strings.Count(stderr.String(), "\n"); lines != 3 {
			t.Errorf("%d lines:\n%s", lines, stderr.String())
		}
		cancel(nil)
	}
}
