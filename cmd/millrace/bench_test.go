package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// bench runs a benchmark that must succeed.
func bench(t *testing.T, line string) benchReport {
	t.Helper()
	var report benchReport
	decode(t, &report, append([]string{"bench"}, strings.Fields(line)...)...)
	return report
}

// topics lists the topics that there are.
func topics(t *testing.T) []string {
	t.Helper()
	return strings.Fields(ok(t, "", "topic", "list", "--no-headers"))
}

func TestBenchProduceWritesWhatItReports(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	ok(t, "", "topic", "create", "mine", "-p", "2")
	for _, line := range []string{"--rate 0", "--rate 2000", "--rate 0 --producers 3 --acks 1 -z lz4 --payload text", "--rate 0 --acks 0 --linger 1ms --batch 4096"} {
		report := bench(t, "produce -t mine -n 100 --size 50 "+line)
		if report.Records != 100 || report.Errors != 0 || report.Interrupted || report.Latency == nil || report.Topic != "mine" ||
			report.Partitions != 2 || report.Flush != "commit" || (report.Rate == nil) != strings.Contains(line, "--rate 0") {
			t.Errorf("%s: %+v", line, report)
		}
	}
	values := strings.Split(strings.TrimSpace(ok(t, "", "consume", "mine", "-e", "-f", `%V\n`)), "\n")
	if len(values) != 400 || values[0] != "50" || values[399] != "50" {
		t.Errorf("%d records are there, want 400 of 50 bytes", len(values))
	}
	if got := topics(t); len(got) != 3 { // name, partitions, replicas
		t.Errorf("topics %q, want the one that was there", got)
	}
}

func TestBenchLeavesOutTheWarmUp(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	report := bench(t, "produce --rate 200 --duration 500ms --warm-up 250ms --size 10 --keep")
	if report.Records != 100 || report.WarmUpSeconds != 0.25 {
		t.Errorf("%+v, want the 100 records that are due after the warm-up", report)
	}
	if count := strings.Count(ok(t, "", "consume", report.Topic, "-e", "-f", `%V\n`), "\n"); count != 150 {
		t.Errorf("%d records are there, want 150", count)
	}
}

func TestBenchConsumeReadsAllOfATopic(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	numbered(t, "numbers")
	for line, want := range map[string]int64{
		"-t numbers": 30, "-t numbers --consumers 5": 30, "-t numbers -n 7": 7, "-n 200 --size 20 -p 3 --consumers 2 -z zstd": 200,
	} {
		report := bench(t, "consume "+line)
		if report.Records != want || report.Errors != 0 || report.Latency != nil {
			t.Errorf("%s: %+v, want %d records", line, report, want)
		}
	}
	ok(t, "", "topic", "create", "empty")
	if report := bench(t, "consume -t empty"); report.Records != 0 {
		t.Errorf("%+v of an empty topic", report)
	}
}

func TestBenchEndToEndReadsWhatItWrites(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	numbered(t, "numbers") // records of others are not counted
	file := filepath.Join(t.TempDir(), "latency.txt")
	for _, line := range []string{"-t numbers", "-p 3 --consumers 2 --producers 2 --size 16", "--rate 1000"} {
		report := bench(t, "e2e -n 100 --rate 0 --hdr "+file+" "+line)
		if report.Records != 100 || report.Errors != 0 || report.Latency == nil || report.Latency.Max < report.Latency.P50 {
			t.Errorf("%s: %+v", line, report)
		}
		distribution, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(distribution), "Total count    =          100") {
			t.Errorf("%s: %v\n%s", line, err, distribution)
		}
	}
}

func TestAnInterruptedBenchTellsWhatItHas(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	p := start(t, "bench", "produce", "--rate", "100", "--duration", "1h", "--warm-up", "0")
	eventually(t, "it tells of its progress", func() bool { return strings.Contains(p.stderr.String(), "records/s") })
	p.signal(syscall.SIGINT)
	if code := p.exit(); code != 130 || !strings.Contains(p.stdout.String(), "interrupted") || !strings.Contains(p.stdout.String(), "latency") {
		t.Errorf("exit code %d\n%s%s", code, p.stdout.String(), p.stderr.String())
	}
	if got := topics(t); len(got) != 0 {
		t.Errorf("%q is left", got)
	}
}

func TestBenchCountsWhatFails(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	ok(t, "", "topic", "create", "small", "-c", "max.message.bytes=1000")
	r := cli(t, "", "bench", "produce", "-t", "small", "-n", "3", "--rate", "0", "--size", "2000")
	if r.code != 1 || !strings.Contains(r.stderr, "3 records failed") || !strings.Contains(r.stderr, "MESSAGE_TOO_LARGE") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

func TestBenchEndsWhenARateIsNotReached(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	r := cli(t, "", "bench", "produce", "--rate", "1e9", "--duration", "1ms", "--warm-up", "1s", "--size", "1")
	if r.code != 1 || !strings.Contains(r.stderr, "1e+09 records/s were not reached") || !strings.Contains(r.stdout, "throughput") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if got := topics(t); len(got) != 0 {
		t.Errorf("%q is left", got)
	}
}

func TestBenchSaysWhatIsWrong(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"produce --rate -1":             {2, "--rate must be 0 or more"},
		"produce --rate x":              {2, `bench produce: --rate: "x" is not a number`},
		"produce --size 0":              {2, "--size must be"},
		"produce --acks some":           {2, "bench produce: --acks"},
		"produce --producers 0":         {2, "--producers must be 1 or more"},
		"produce -n 5 --duration 1s":    {2, "exclude each other"},
		"produce --payload txt":         {2, `bench produce: --payload: unknown payload "txt", did you mean "text"?`},
		"produce -z lz5":                {2, "codec"},
		"e2e --size 8":                  {2, "--size must be 16 or more"},
		"consume --consumers 0":         {2, "--consumers must be 1 or more"},
		"produce -t nothere -n 1":       {1, "nothere"},
		"e2e -n 1 --hdr /no/such/dir/x": {1, "no such file"},
	} {
		r := cli(t, "", append([]string{"bench"}, strings.Fields(line)...)...)
		if r.code != want.code || !strings.Contains(r.stderr, want.text) {
			t.Errorf("%s: exit code %d, %q, want %d and %q", line, r.code, r.stderr, want.code, want.text)
		}
	}
	if got := topics(t); len(got) != 0 {
		t.Errorf("%q is left", got)
	}
}
