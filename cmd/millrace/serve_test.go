package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// planOf parses a command line of serve in an environment.
func planOf(t *testing.T, environ []string, args ...string) (*servePlan, error) {
	t.Helper()
	cmd := newServeCommand()
	var plan *servePlan
	flags := serveFlags{logLevel: "info"}
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string { return cmd.Flags().Lookup(name).Value.String() }
	list := func(name string) []string {
		values, err := cmd.Flags().GetStringArray(name)
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	flags.file, flags.dataDir, flags.listen, flags.http = read("config"), read("data-dir"), read("listen"), read("http")
	flags.inMemory, flags.dev = read("in-memory") == "true", read("dev") == "true"
	flags.pairs, flags.topics = list("set"), list("topic")
	flags.logLevel = levelValue(read("log-level"))
	flags.shutdownTimeout = time.Second
	plan, err := flags.plan(cmd.Flags().Changed, environ)
	return plan, err
}

func TestLaterSourcesWin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	text := "num.partitions=1\nlog.segment.bytes=1\nlog.retention.ms=1\nmessage.max.bytes=1\nlog.dirs=/from/file\nlisteners=PLAINTEXT://1.2.3.4:1,CONTROLLER://:9093\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"KAFKA_LOG_SEGMENT_BYTES=2", "KAFKA_LOG_RETENTION_MS=2", "MILLRACE_LOG_RETENTION_MS=3", "KAFKA_MESSAGE_MAX_BYTES=2"}
	plan, err := planOf(t, environ, "-c", file, "-X", "message.max.bytes=4")
	if err != nil {
		t.Fatal(err)
	}
	listeners := "PLAINTEXT://1.2.3.4:1,CONTROLLER://:9093"
	want := map[string]string{"num.partitions": "1", "log.segment.bytes": "2", "log.retention.ms": "3", "message.max.bytes": "4", "listeners": listeners}
	if !maps.Equal(plan.options.Config, want) {
		t.Errorf("settings %v, want %v", plan.options.Config, want)
	}
	if plan.options.DataDir != "/from/file" || plan.options.Listen != "" || plan.options.HTTP != defaultHTTP {
		t.Errorf("options %+v", plan.options)
	}
	environ = append(environ, "MILLRACE_DATA_DIR=/from/env", "MILLRACE_LISTEN=1.2.3.4:2", "MILLRACE_HTTP=1.2.3.4:3", "MILLRACE_LOG_LEVEL=error")
	if plan, err = planOf(t, environ, "-c", file); err != nil {
		t.Fatal(err)
	}
	if plan.options.DataDir != "/from/env" || plan.options.Listen != "1.2.3.4:2" || plan.options.Config["listeners"] != "" || plan.options.HTTP != "1.2.3.4:3" || plan.level.String() != "ERROR" {
		t.Errorf("options %+v", plan.options)
	}
	plan, err = planOf(t, environ, "-c", file, "--data-dir", "/from/flag", "--listen", "1.2.3.4:4", "--http", "none", "--log-level", "warn")
	if err != nil {
		t.Fatal(err)
	}
	if plan.options.DataDir != "/from/flag" || plan.options.Listen != "1.2.3.4:4" || plan.options.HTTP != "" || plan.level.String() != "WARN" {
		t.Errorf("options %+v", plan.options)
	}
	if plan, err = planOf(t, environ, "--in-memory"); err != nil || !plan.options.InMemory || plan.options.DataDir != "" {
		t.Errorf("options %+v, %v", plan, err)
	}
}

func TestTheDefaultDataDirIsNeverTheWorkingDirectory(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/xdg")
	plan, err := planOf(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[bool]string{true: "/var/lib/millrace", false: "/xdg/millrace"}[os.Geteuid() == 0]; plan.options.DataDir != want {
		t.Errorf("data in %q, want %q", plan.options.DataDir, want)
	}
}

func TestStartTopics(t *testing.T) {
	_, _ = serve(t, "--in-memory", "--topic", "a", "--topic", "b:4", "-X", "num.partitions=2")
	if got, want := ok(t, "", "topic", "list", "--no-headers"), "a  2  1\nb  4  1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestServeDrainsOnASignalAndKeepsItsData(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		dir := t.TempDir()
		p, _ := serve(t, "--data-dir", dir, "--topic", "t")
		ok(t, "1\n2\n", "produce", "t")
		p.signal(s)
		if code := p.exit(); code != 0 {
			t.Errorf("exit code %d after %v", code, s)
		}
		if got := p.stdout.String(); got != "" {
			t.Errorf("stdout %q", got)
		}
		p, _ = serve(t, "--data-dir", dir, "--topic", "t") // which exists
		eventually(t, "the banner tells of a clean stop", func() bool { return strings.Contains(p.stderr.String(), "nothing to repair") })
		if got := ok(t, "", "consume", "t", "-e"); got != "1\n2\n" {
			t.Errorf("after the restart %q", got)
		}
	}
}

func TestServeKilledSaysWhatItChecked(t *testing.T) {
	dir := t.TempDir()
	p, _ := serve(t, "--data-dir", dir, "--topic", "t")
	ok(t, "1\n2\n", "produce", "t")
	p.signal(syscall.SIGKILL)
	p.exit()
	p, _ = serve(t, "--data-dir", dir)
	eventually(t, "the banner tells what was checked", func() bool {
		return strings.Contains(p.stderr.String(), "bytes checked, 0 unacknowledged bytes cut off")
	})
	if got := ok(t, "", "consume", "t", "-e"); got != "1\n2\n" {
		t.Errorf("after kill -9 %q", got)
	}
}

func TestServeOnPipesWritesABannerAndJSON(t *testing.T) {
	p, address := serve(t, "--in-memory", "--http", "127.0.0.1:0")
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	var banner []string
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.HasPrefix(line, "{") {
			banner = append(banner, line)
			continue
		}
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level == "" || entry.Msg == "" {
			t.Errorf("log line %q: %v", line, err)
		}
	}
	if len(banner) == 0 || len(banner) > 8 || !strings.Contains(strings.Join(banner, ""), address) || !strings.Contains(strings.Join(banner, ""), "http://127.0.0.1:") {
		t.Errorf("banner %q", banner)
	}
}

func TestHealthIsServed(t *testing.T) {
	p, _ := serve(t, "--in-memory", "--http", "127.0.0.1:0")
	at := strings.Index(p.stderr.String(), "http://")
	url := strings.Fields(p.stderr.String()[at:])[0]
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		response, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

func TestTheTemporaryDirectoryOfDevIsRemoved(t *testing.T) {
	p, _ := serve(t, "--dev")
	dir := ""
	for line := range strings.Lines(p.stderr.String()) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "data" {
			dir = strings.TrimSuffix(fields[1], ",")
		}
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("%v in\n%s", err, p.stderr.String())
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestServeThatCannotStartIsOneLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	_, _ = serve(t, "--data-dir", dir)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--in-memory", "--listen", taken.Addr().String()}, "choose another address with --listen"},
		{[]string{"--in-memory", "--http", "none", "-X", "listeners=A://127.0.0.1:0,B://" + taken.Addr().String()}, "choose another address in listeners, from -X"},
		{[]string{"--in-memory", "--listen", "127.0.0.1:0", "--http", taken.Addr().String()}, "choose another address with --http, or --http none"},
		{[]string{"--data-dir", dir, "--listen", "127.0.0.1:0", "--http", "none"}, dir},
		{[]string{"--data-dir", file, "--listen", "127.0.0.1:0", "--http", "none"}, file},
	} {
		r := cli(t, "", append([]string{"serve"}, test.args...)...)
		lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(r.stderr), "\n"), func(line string) bool { return strings.HasPrefix(line, "{") })
		if r.code != 1 || r.stdout != "" || len(lines) != 1 || !strings.HasPrefix(lines[0], "millrace: serve: ") || !strings.Contains(lines[0], test.want) {
			t.Errorf("serve %q: exit code %d, stderr %q, want %q", test.args, r.code, r.stderr, test.want)
		}
	}
}

// A client that does not read its answer holds up the drain; the second signal does not wait for it.
func TestTheSecondSignalEndsServeAtOnce(t *testing.T) {
	p, address := serve(t, "--in-memory", "--shutdown-timeout", "1h", "-X", "message.max.bytes=64000000")
	ok(t, strings.Repeat(strings.Repeat("x", 500_000)+"\n", 60), "produce", "t")
	var deafened atomic.Int32
	client, err := kgo.NewClient(
		kgo.SeedBrokers(address),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchMaxBytes(60_000_000), kgo.FetchMaxPartitionBytes(60_000_000),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			var dialer net.Dialer
			connection, err := dialer.DialContext(ctx, network, address)
			return &deafConn{Conn: connection, left: 100_000, deafened: &deafened, end: t.Context().Done()}, err
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, "the answer is under way", func() bool { return deafened.Load() > 0 })
	p.signal(syscall.SIGTERM)
	if code := repeatedly(p, syscall.SIGTERM); code != 143 {
		t.Errorf("exit code %d", code)
	}
}

// deafConn stops reading after left bytes.
type deafConn struct {
	net.Conn
	left     int
	deafened *atomic.Int32 // counts the connections that have stopped
	end      <-chan struct{}
}

func (c *deafConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.deafened.Add(1)
		<-c.end
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// repeatedly sends s until the process ends, and returns its exit code.
func repeatedly(p *process, s syscall.Signal) int {
	p.t.Helper()
	eventually(p.t, "the process ends", func() bool {
		select {
		case <-p.exited:
			return true
		default:
			_ = p.Process.Signal(s)
			return false
		}
	})
	return p.exit()
}

func serveCheck(t *testing.T, environ map[string]string, args ...string) result {
	t.Helper()
	for name, value := range environ {
		t.Setenv(name, value)
	}
	return cli(t, "", append([]string{"serve", "--check"}, args...)...)
}

func TestCheckValidatesAndTouchesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if r := serveCheck(t, nil, "--data-dir", dir); r.code != 0 || r.stdout != "the configuration is valid\n" || r.stderr != "" {
		t.Errorf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s: %v, want that it does not exist", dir, err)
	}
	file := filepath.Join(t.TempDir(), "server.properties")
	for text, want := range map[string]string{
		"a\n":                             `unknown setting "a" (from ` + file + " line 1)",
		"# c\nnum.partitons=3\n":          `unknown setting "num.partitons"; did you mean "num.partitions"? (from ` + file + " line 2)",
		"log.retention.ms=7d\n":           `write it without a unit, 604800000 (from ` + file + " line 1)",
		"listeners=A://:1,B://:1\n":       "listeners: A and B both listen on port 1; give each its own port (from " + file + " line 1)",
		"advertised.listeners=A://:1\n":   "hosts that clients can connect to (from " + file + " line 1)",
		"listeners=SSL://:9092\n":         "listeners: SSL has the security protocol SSL, which is not supported yet",
		"sasl.enabled.mechanisms=PLAIN\n": "sasl.enabled.mechanisms: not supported yet",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := serveCheck(t, nil, "-c", file, "--data-dir", dir)
		if r.code != 2 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q, want %q", text, r.code, r.stdout, r.stderr, want)
		}
	}
}
