package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Every wrong command line is answered with one line on stderr that names the thing and the
// nearest valid name, nothing on stdout, and exit code 2.
func TestWrongUsageIsOneLine(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"", "millrace: needs a command: bench, cluster, completion, consume, "},
		{"topc list", `unknown command "topc", did you mean "topic"?`},
		{"topc -x", `unknown command "topc", did you mean "topic"?`},
		{"topic", "topic: needs a command: add-partitions, alter, create, delete, describe, list"},
		{"topic lst", `topic: unknown command "lst", did you mean "list"?`},
		{"topic list --formt json", "topic list: unknown flag --formt, did you mean --format?"},
		{"topic list --format jsn", `topic list: --format: unknown format "jsn", did you mean "json"?`},
		{"topic list -b http://x", `-b: "http://x" is not HOST[:PORT]`},
		{"topic list -b x:y:z", `-b: "x:y:z" is not HOST[:PORT]`},
		{"topic list -b ,", `-b: "" is not HOST[:PORT]`},
		{"topic create", "topic create: needs a TOPIC"},
		{"topic create t -p 0", "topic create: -p: 0 is no number of partitions"},
		{"topic create t -p many", `topic create: -p: "many" is not a whole number`},
		{"topic create t -r -7", "topic create: -r: -7 is no number of replicas"},
		{"topic create t -c a", `-c: "a" is not key=value`},
		{"topic create t -c a=1 -c a=2", "-c: a is there twice"},
		{"topic alter t", "topic alter: nothing to change"},
		{"topic alter t -c a=1 --unset a", "a is set and in --unset"},
		{"topic add-partitions t", "topic add-partitions: -n needs"},
		{"topic delete t", "topic delete: cannot ask for confirmation without a terminal, add --yes"},
		{"group list x", `group list: takes no argument, found "x"`},
		{"group describe", "group describe: needs a GROUP"},
		{"group delete g", "group delete: cannot ask for confirmation without a terminal, add --yes"},
		{"produce", "produce: needs a TOPIC"},
		{"produce t -z gzp", `produce: -z: unknown codec "gzp", did you mean "gzip"?`},
		{"produce t -p -2", "produce: -p: -2 is no partition"},
		{"produce t -H x", `produce: -H: "x" is not NAME=VALUE`},
		{"produce t -f value", `produce: -f: "value" names no part of a record`},
		{"produce t -f %q", "produce: -f: unknown percent escape sequence \"q\""},
		{"produce t -J -K :", "produce: -f, -J and -K exclude each other"},
		{"produce t -J -Z", "produce: -Z has no place with -J"},
		{"produce t --compresion lz4", "produce: unknown flag --compresion, did you mean --compression?"},
		{"consume", "consume: needs a TOPIC"},
		{"consume t -o strat", `-o: unknown offset "strat", did you mean "start"?`},
		{"consume t -o 1:x", `-o: unknown offset "1:x" (use start, end`},
		{"consume t -o @soon", `-o: "@soon" is no time`},
		{"consume t -n 0", "consume: -n must be greater than 0"},
		{"consume t -n x", `consume: -n: "x" is not a whole number`},
		{"consume t --timeout 5", `consume: --timeout: "5" is not a duration like 1.5s or 2m`},
		{"consume t -f value", `consume: -f: "value" names no part of a record`},
		{"consume t -f %q", "consume: -f: unknown escape sequence %q"},
		{"consume t -J -f %v", "consume: -J and -f exclude each other"},
		{"consume t -g g -p 1", "consume: -g and -p exclude each other"},
		{"consume t --tail 5 -o end", "consume: --tail and -o exclude each other"},
		{"consume t --tail 1000000", "consume: --tail takes at most 100000"},
		{"consume t -p 1,x", `-p: "1,x" is no list of partitions`},
		{"consume t -G x:y", `-G: unknown part "x"`},
		{"consume t -G v:(", "-G: "},
		{"consume t --jq .a|", `--jq: unexpected EOF at byte 3 of ".a|"`},
		{"consume t --jq nosuch", "--jq: function not defined: nosuch/0"},
		{"consume t --jq . --jq-errors ignore", `consume: --jq-errors: unknown policy "ignore" (one of: fail, skip)`},
		{"consume t --jq-errors skip", "consume: --jq-errors needs --jq"},
		{"consume t --color alway", `consume: --color: unknown choice "alway", did you mean "always"?`},
		{"consume t -r -J", "consume: -r and -J exclude each other"},
		{"consume t -K : -J", "consume: -K and -J exclude each other"},
		{"consume t -D x -f %v", "consume: -D and -f exclude each other"},
		{"produce t -D ab", `produce: -D: "ab" is not one byte`},
		{"produce t -D x -J", "produce: -D has no place with -f and -J"},
		{"produce t --acks 2", `produce: --acks: "2" is none of all, 1, 0`},
		{"produce t --rate -1", "produce: --rate must not be negative"},
		{"consume t -Q", "consume: unknown flag -Q"},
		{"consume t -n", "consume: -n needs a value"},
		{"serve x", `serve: takes no argument, found "x"`},
		{"serve --data-dir x --in-memory", "serve: --data-dir, --in-memory and --dev exclude each other"},
		{"serve --log-level wran", `serve: --log-level: unknown level "wran", did you mean "warn"?`},
		{"serve --in-memory -X log.segment.byte=1", `did you mean "log.segment.bytes"? (from -X log.segment.byte=1)`},
		{"serve --in-memory -X log.segment.bytes=x", "log.segment.bytes"},
		{"serve --in-memory -X flush", `serve: -X: "flush" is not key=value`},
		{"serve --in-memory -c /nonexistent.yaml", "serve: -c: open /nonexistent.yaml: no such file or directory"},
		{"serve --in-memory --topic t:x", `serve: --topic: "t:x" is not NAME[:PARTITIONS]`},
		{"serve --in-memory --listen nowhere", `Listen "nowhere"`},
		{"serve --in-memory --shutdown-timeout 0s", "serve: --shutdown-timeout must be greater than 0"},
		{"serve --in-memory -X listeners=SASL_SSL://:9092", "listeners: SASL_SSL has the security protocol SASL_SSL, which is not supported yet"},
		{"serve -X log.dirs=/a,/b", "serve: log.dirs: one directory only"},
		{"demo --rate 0", "demo: --rate must be greater than 0"},
		{"demo --duration 100h --rate 1000000", "demo: --duration times --rate must be between"},
		{"demo --kills -1", "demo: --kills must not be negative"},
		{"version --fromat json", "version: unknown flag --fromat, did you mean --format?"},
		{"completion bsh", `completion: unknown shell "bsh", did you mean "bash"?`},
		{"completion", "completion: needs a shell"},
		{"generate grafana", "generate grafana: needs one dashboard: broker or groups"},
		{"generate grafana all", `generate grafana: unknown dashboard "all" (one of: broker, groups)`},
	} {
		r := cli(t, "", strings.Fields(test.line)...)
		if r.code != 2 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "millrace: ") || !strings.Contains(r.stderr, test.want) {
			t.Errorf("millrace %s\nexit code %d, stdout %q, stderr %q\nwant 2, nothing and one line with %q", test.line, r.code, r.stdout, r.stderr, test.want)
		}
	}
}

// commandLines reach a broker, each another way.
var commandLines = []string{
	"topic list", "topic list t", "topic create t", "topic describe t", "topic alter t -c a=1", "topic delete t -y",
	"topic add-partitions t -n 1", "cluster info", "cluster brokers", "cluster api-versions", "cluster features", "cluster logdirs", "group list", "group describe g", "group delete g -y", "produce t", "consume t",
	"consume t -g g", "consume t --tail 1",
}

func TestAnUnreachableBrokerIsOneLineWithWhatToDo(t *testing.T) {
	address := closedAddress(t)
	t.Setenv("MILLRACE_BROKERS", address)
	for _, line := range commandLines {
		begin := time.Now()
		r := cli(t, "", strings.Fields(line)...)
		want := "millrace: cannot reach a broker at " + address + ": connection refused; start one with `millrace serve` or name another with -b\n"
		if r.code != 1 || r.stdout != "" || r.stderr != want {
			t.Errorf("millrace %s: exit code %d, stdout %q, stderr %q", line, r.code, r.stdout, r.stderr)
		}
		if took := time.Since(begin); took > 2*reachMax {
			t.Errorf("millrace %s took %v", line, took)
		}
	}
}

func TestTheBrokersAreNamedInAnyOfTheWays(t *testing.T) {
	t.Setenv("MILLRACE_BROKERS", "127.0.0.1:1")
	nowhere := strings.Repeat("x", 64) + ".invalid" // no label is that long: nobody is asked for it
	for line, want := range map[string]string{
		"topic list":                                   "at 127.0.0.1:1:",
		"topic list -b 127.0.0.1:2":                    "at 127.0.0.1:2:",
		"-b 127.0.0.1:2 topic list":                    "at 127.0.0.1:2:",
		"topic list -B 127.0.0.1:3":                    "at 127.0.0.1:3:",
		"topic list --brokers 127.0.0.1:4,127.0.0.1:5": "at 127.0.0.1:4,127.0.0.1:5:",
		"topic list --bootstrap-server 127.0.0.1:6":    "at 127.0.0.1:6:",
		"topic list -b " + nowhere + ":1":              "at " + nowhere + ":1: no such host " + nowhere + ";",
	} {
		if r := cli(t, "", strings.Fields(line)...); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("millrace %s: exit code %d, stderr %q, want %q", line, r.code, r.stderr, want)
		}
	}
}

func TestAServerThatIsNoBrokerIsToldApart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(connection, "HTTP/1.1 400 Bad Request\r\n\r\n")
			connection.Close()
		}
	}()
	r := cli(t, "", "topic", "list", "-b", listener.Addr().String())
	if r.code != 1 || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "cannot reach a broker at "+listener.Addr().String()) {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

func TestHelpGoesToStdout(t *testing.T) {
	for _, line := range []string{"--help", "topic --help", "consume --help", "serve -h"} {
		r := cli(t, "", strings.Fields(line)...)
		if r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "Usage:") {
			t.Errorf("millrace %s: exit code %d, stdout %q, stderr %q", line, r.code, r.stdout, r.stderr)
		}
	}
}
