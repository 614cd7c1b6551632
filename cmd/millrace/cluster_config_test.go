package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestClusterConfigTellsWhereValuesComeFrom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "millrace.yaml")
	if err := os.WriteFile(file, []byte("# a comment\nlog.segment.bytes: 1048576\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KAFKA_LOG_RETENTION_HOURS", "5")
	_, _ = serve(t, "--in-memory", "-c", file, "-X", "num.partitions=3")
	ok(t, "", "cluster", "config", "set", "message.max.bytes=2000000")
	var diff brokerSettings
	decode(t, &diff, "cluster", "config", "describe", "--diff")
	got := map[string]string{}
	for _, s := range diff.Settings {
		got[s.Name] = text(s.Value) + "|" + s.Source + "|" + s.SetBy
	}
	for name, want := range map[string]string{
		"log.segment.bytes":   "1048576|start|" + file + " line 2",
		"log.retention.hours": "5|start|environment variable KAFKA_LOG_RETENTION_HOURS",
		"num.partitions":      "3|start|-X num.partitions=3",
		"listeners":           "PLAINTEXT://127.0.0.1:0|start|--listen or MILLRACE_LISTEN",
		"message.max.bytes":   "2000000|run time, all brokers|",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if value, there := got["auto.create.topics.enable"]; there {
		t.Errorf("a default is in the difference: %s", value)
	}
}

func TestClusterConfigChangesAndReturns(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	get := func(name string) string { return strings.TrimSpace(ok(t, "", "cluster", "config", "get", name)) }
	if got := get("log.segment.bytes"); got != "1073741824" {
		t.Errorf("the default is %s", got)
	}
	ok(t, "", "cluster", "config", "set", "log.segment.bytes=1048576", "--dry-run")
	if got := get("log.segment.bytes"); got != "1073741824" {
		t.Errorf("after a dry run %s", got)
	}
	ok(t, "", "cluster", "config", "set", "log.segment.bytes=1048576")
	ok(t, "", "cluster", "config", "set", "log.segment.bytes=2097152", "--broker", "1")
	if got := get("log.segment.bytes"); got != "2097152" {
		t.Errorf("set for this broker: %s", got)
	}
	ok(t, "", "cluster", "config", "set", "--unset", "log.segment.bytes", "--broker", "1")
	if got := get("log.segment.bytes"); got != "1048576" {
		t.Errorf("set for all brokers: %s", got)
	}
	ok(t, "", "cluster", "config", "set", "--unset", "log.segment.bytes")
	if got := get("log.segment.bytes"); got != "1073741824" {
		t.Errorf("unset: %s", got)
	}
}

func TestClusterConfigErrors(t *testing.T) {
	_, _ = serve(t, "--in-memory")
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"get num.partitons", 2, `unknown setting "num.partitons", did you mean "num.partitions"?`},
		{"get", 2, "needs one SETTING"},
		{"describe --broker 7", 1, "7"},
		{"set log.retention.ms=1 --broker 7", 1, "millrace: settings of broker 7: unknown broker\n"},
		{"set", 2, "nothing to change"},
		{"set a", 2, `"a" is not key=value`},
		{"set a=1 --unset a", 2, "a is set and in --unset"},
		{"set listeners=A://:1", 1, "listeners"},
		{"set log.segment.bytes=many", 1, "whole number"},
	} {
		r := cli(t, "", append([]string{"cluster", "config"}, strings.Fields(test.args)...)...)
		if r.code != test.code || !strings.Contains(r.stderr, test.want) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: exit code %d, stderr %q, want %q", test.args, r.code, r.stderr, test.want)
		}
	}
}
