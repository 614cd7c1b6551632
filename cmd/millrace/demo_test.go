package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/clicks"
	"github.com/millrace/millrace/windows"
)

func TestTheDemoCountsThroughKills(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t, "demo", "--duration", "2s", "--rate", "5000", "--kills", "2", "--broker-kills", "1")
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	want := regexp.MustCompile(`^verified: in=10000 out=\d+ late=\d+ lost=0 duplicated=0 windows=\d+ cells=\d+ kills=3 seconds=[\d.]+\n$`)
	if got := p.stdout.String(); !want.MatchString(got) {
		t.Errorf("stdout %q", got)
	}
	progress := p.stderr.String()
	for line, want := range map[string]int{"the worker, with": 2, "the broker, with": 1, "goes on after": 2, "is back after": 1} {
		if found := strings.Count(progress, line); found != want {
			t.Errorf("%d times %q in the progress, not %d", found, line, want)
		}
	}
	nothingLeft(t)
}

// nothingLeft fails if the demo's directory or its broker is still there.
func nothingLeft(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v %v", left, err)
	}
}

func demoBrokerPID(p *process) int { return demoPID(p, "broker") }

// demoWorkerPID returns the process that counts, once it has been killed and another has come in its place.
func demoWorkerPID(p *process) int { return demoPID(p, "worker") }

func demoPID(p *process, name string) int {
	found := regexp.MustCompile(name + ` \(pid (\d+)\)`).FindStringSubmatch(p.stderr.String())
	if found == nil {
		return 0
	}
	pid, _ := strconv.Atoi(found[1])
	return pid
}

// gone reports whether no process, or only the rest of one, has this id.
func gone(pid int) bool {
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || inState(pid, "Z")
}

// inState reports whether the process is in a state as Linux calls it.
func inState(pid int, state string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && strings.Contains(string(stat), ") "+state+" ")
}

func TestAnInterruptedDemoCleansUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t, "demo", "--duration", "1m")
	eventually(t, "clicks are written", func() bool { return strings.Contains(p.stderr.String(), "writing") })
	p.signal(syscall.SIGINT)
	if code := p.exit(); code != 130 || p.stdout.String() != "" {
		t.Errorf("exit code %d, stdout %q", code, p.stdout.String())
	}
	if pid := demoBrokerPID(p); pid == 0 || !gone(pid) {
		t.Errorf("the broker (pid %d) is still there", pid)
	}
	nothingLeft(t)
}

func TestTheProcessesEndWithAKilledDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t, "demo", "--duration", "10s", "--rate", "1000", "--kills", "20")
	eventually(t, "a worker was killed", func() bool { return demoWorkerPID(p) != 0 })
	broker, worker := demoBrokerPID(p), demoWorkerPID(p)
	p.signal(syscall.SIGKILL)
	p.exit()
	eventually(t, "the broker has ended", func() bool { return gone(broker) })
	eventually(t, "the worker has ended", func() bool { return gone(worker) })
}

// A broker that ends behind the demo's back is a failure, not a hang.
func TestTheDemoFailsWhenTheBrokerDies(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t, "demo", "--duration", "1m", "--kills", "1")
	eventually(t, "clicks are written", func() bool { return strings.Contains(p.stderr.String(), "writing") })
	if err := syscall.Kill(demoBrokerPID(p), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != 1 || p.stdout.String() != "" || !strings.Contains(p.stderr.String(), "the broker ended by itself") {
		t.Errorf("exit code %d, stdout %q", code, p.stdout.String())
	}
	nothingLeft(t)
}

func demoClick(id int64, page string, atMs int64) clicks.Click {
	return clicks.Click{ID: id, Page: page, TimeMs: atMs}
}

func demoKey(page string, startMs int64) windows.Key[string] {
	return windows.Key[string]{Key: page, Window: windows.Window{StartMs: startMs, EndMs: startMs + demoWindow.SizeMs()}}
}

func TestTheDemoVerifiesNothingThatIsWrong(t *testing.T) {
	want := newDemoTally()
	want.expect(demoClick(0, "/a", 1_000), 1_000)
	want.expect(demoClick(1, "/a", 30_000), 30_000)
	want.expect(demoClick(2, "/a", 31_000), 31_000)
	want.expect(demoClick(3, "/b", 2_000), 31_000)
	all := []int64{1, 1, 2}
	for _, test := range []struct {
		name   string
		counts []int64 // in the order in which /a was counted: in its first window, and twice in its second
		more   func(*demoTally)
		want   demoVerdict // lost and duplicated
	}{
		{"exactly once", all, func(tally *demoTally) { tally.takeLate(3) }, demoVerdict{}},
		{"a count is missing", all[:2], func(tally *demoTally) { tally.takeLate(3) }, demoVerdict{lost: 1}},
		{"a late click is missing", all, func(*demoTally) {}, demoVerdict{lost: 1}},
		{"late twice", all, func(tally *demoTally) { tally.takeLate(3); tally.takeLate(3) }, demoVerdict{duplicated: 1}},
		{"late, and not", all, func(tally *demoTally) { tally.takeLate(3); tally.takeLate(0) }, demoVerdict{duplicated: 1}},
		{"counted and late", all, func(tally *demoTally) { tally.takeLate(3); tally.takeCount(demoKey("/b", 0), 1) }, demoVerdict{duplicated: 1}},
		{"counted twice", append(slices.Clone(all), 3), func(tally *demoTally) { tally.takeLate(3) }, demoVerdict{duplicated: 1}},
		{"put out twice", append(slices.Clone(all), 2), func(tally *demoTally) { tally.takeLate(3) }, demoVerdict{duplicated: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := newDemoTally()
			for i, count := range test.counts {
				got.takeCount(demoKey("/a", int64(min(i, 1))*30_000), count)
			}
			test.more(got)
			verdict := got.compare(want)
			verdict.in = 4
			if verdict.lost != test.want.lost || verdict.duplicated != test.want.duplicated {
				t.Errorf("lost %d, duplicated %d, want %d and %d", verdict.lost, verdict.duplicated, test.want.lost, test.want.duplicated)
			}
			var stdout, stderr bytes.Buffer
			d := &demo{records: 4, view: newDemoView(&stderr), begin: time.Now()}
			exact := test.want.lost+test.want.duplicated == 0
			if err := d.conclude(&stdout, verdict); (err == nil) != exact || (stdout.Len() > 0) != exact || (stderr.Len() == 0) != exact {
				t.Errorf("%v, stdout %q, stderr %q", err, stdout.String(), stderr.String())
			}
		})
	}
}

func TestThePictureStaysBelowTheLines(t *testing.T) {
	var out bytes.Buffer
	v := newDemoView(&out)
	v.terminal = true
	tally := newDemoTally()
	for page, count := range map[string]int64{"/rare": 1, "/often": 40} {
		tally.takeCount(demoKey(page, clicks.FirstMs), count)
	}
	v.say("begin")
	v.show(1500*time.Millisecond, 50, tally)
	v.say("kill -9")
	v.clear()
	picture := []string{
		"  1.5s  in 50, counted 2, late 0, to do 48",
		"        08:00:00 to 08:00:10",
		"        /often     " + strings.Repeat("█", demoBarMax) + " 40",
		"        /rare      █ 1",
		"",
	}
	drawn := strings.Join(picture, "\n")
	if want := "begin\n" + drawn + "\x1b[4A\x1b[J" + "kill -9\n" + drawn + "\x1b[4A\x1b[J"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestWithoutATerminalTheProgressIsLines(t *testing.T) {
	var out bytes.Buffer
	v := newDemoView(&out)
	v.show(2*time.Second, 3, newDemoTally())
	if want := "  2.0s  in 3, counted 0, late 0, to do 3\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
