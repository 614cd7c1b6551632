package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// useProfiles gives the test a directory of profiles of its own.
func useProfiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	return filepath.Join(dir, "millrace", "profiles")
}

// Each source wins over the one after it: flag, -X, environment, profile, file, default.
func TestTheNearerSourceNamesTheBroker(t *testing.T) {
	useProfiles(t)
	file := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(file, []byte("bootstrap.servers=127.0.0.1:1\ngroup.id=ignored\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, "", "profile", "create", "two", "-b", "127.0.0.1:2")
	ok(t, "", "profile", "create", "three", "-X", "metadata.broker.list=127.0.0.1:3", "--use")
	for _, test := range []struct{ env, line, want string }{
		{"", "topic list -F " + file + " --profile two -X bootstrap.servers=127.0.0.1:5 -b 127.0.0.1:6", "127.0.0.1:6"},
		{"MILLRACE_BROKERS=127.0.0.1:4", "topic list -F " + file + " --profile two -X bootstrap.servers=127.0.0.1:5", "127.0.0.1:5"},
		{"MILLRACE_BROKERS=127.0.0.1:4", "topic list -F " + file + " --profile two", "127.0.0.1:4"},
		{"MILLRACE_CLIENT_BOOTSTRAP_SERVERS=127.0.0.1:7", "topic list --profile two", "127.0.0.1:7"},
		{"", "topic list -F " + file + " --profile two", "127.0.0.1:2"},
		{"MILLRACE_PROFILE=two", "topic list -F " + file, "127.0.0.1:2"},
		{"", "topic list -F " + file, "127.0.0.1:3"}, // the profile in use
		{"MILLRACE_PROFILE=two", "topic list --profile three", "127.0.0.1:3"},
	} {
		t.Run(test.line, func(t *testing.T) {
			if name, value, found := strings.Cut(test.env, "="); found {
				t.Setenv(name, value)
			}
			r := cli(t, "", strings.Fields(test.line)...)
			if want := "millrace: cannot reach a broker at " + test.want + ": "; r.code != 1 || !strings.HasPrefix(r.stderr, want) {
				t.Errorf("%s: exit code %d, stderr %q, want %q", test.env, r.code, r.stderr, want)
			}
		})
	}
	ok(t, "", "profile", "use", "--none")
	if r := cli(t, "", "topic", "list", "-F", file); !strings.Contains(r.stderr, "127.0.0.1:1:") {
		t.Errorf("with no profile in use: %q", r.stderr)
	}
}

func TestProfilesAreKept(t *testing.T) {
	dir := useProfiles(t)
	if got := ok(t, "", "profile", "list", "--no-headers"); got != "" {
		t.Errorf("without any: %q", got)
	}
	ok(t, "", "profile", "create", "prod", "-b", "a:9092,b", "-X", "security.protocol=SASL_SSL", "-X", "sasl.mechanism=PLAIN",
		"-X", "sasl.username=me", "-X", "sasl.password=hunter2")
	ok(t, "", "profile", "create", "local", "-b", "localhost", "--use")
	want := "PROFILE  CURRENT  BROKERS    SECURITY\nlocal    true     localhost  -\nprod     false    a:9092,b   SASL_SSL\n"
	if got := ok(t, "", "profile", "list"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, format := range []string{"text", "json", "yaml"} {
		shown := ok(t, "", "profile", "show", "prod", "--format", format)
		if strings.Contains(shown, "hunter2") || !strings.Contains(shown, "sasl.password") || !strings.Contains(shown, "a:9092,b") {
			t.Errorf("profile show prints %s", shown)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "prod.yaml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of a password: %v, %v", info.Mode(), err)
	}
	if got := ok(t, "", "profile", "show", "--no-headers"); !strings.HasPrefix(got, "bootstrap.servers  localhost  ") {
		t.Errorf("the profile in use: %q", got)
	}
	ok(t, "", "profile", "delete", "local", "prod", "--dry-run")
	ok(t, "", "profile", "delete", "local", "--yes")
	if r := cli(t, "", "profile", "show"); r.code != 2 || !strings.Contains(r.stderr, "no profile is in use") {
		t.Errorf("a deleted profile is in use: exit code %d, stderr %q", r.code, r.stderr)
	}
}

func TestProfilesAndSettingsAreCheckedWhenNamed(t *testing.T) {
	dir := useProfiles(t)
	if r := cli(t, "", "topic", "list", "--profile", "prod"); r.code != 2 || r.stderr != "millrace: unknown profile \"prod\"; there are none, make one with `millrace profile create`\n" {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	ok(t, "", "profile", "create", "prod", "-b", "a:9092")
	if err := os.WriteFile(filepath.Join(dir, "broken.yaml"), []byte("client.di: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"topic list --profile prdo":                `unknown profile "prdo", did you mean "prod"?`,
		"topic list --profile ../x":                `"../x" is no name of a profile`,
		"topic list --profile broken":              `broken.yaml line 1: unknown setting "client.di", did you mean "client.id"?`,
		"topic list -X client.di=x":                `-X: unknown setting "client.di", did you mean "client.id"?`,
		"topic list -X client.id":                  `-X: "client.id" is not key=value`,
		"topic list -X request.timeout.ms=soon":    `-X: request.timeout.ms: "soon" is not a whole number from 1 to 86400000`,
		"topic list -X acks=2":                     `-X: acks: "2" is none of all, 1, 0`,
		"topic list -X compression.type=brotli":    `-X: compression.type: "brotli" is none of none, gzip`,
		"topic list -X security.protocol=tls":      `"tls" is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL`,
		"topic list -X security.protocol=SASL_SSL": "security.protocol=SASL_SSL needs sasl.username and sasl.password",
		"topic list -X security.protocol=SASL_SSL -X sasl.username=a -X sasl.password=b": "needs sasl.mechanism, one of PLAIN, SCRAM",
		"topic list -X sasl.username=a":                                   "sasl.username has no effect with security.protocol=PLAINTEXT",
		"topic list -X security.protocol=SSL -X ssl.ca.location=/nothere": "ssl.ca.location: open /nothere: no such file",
		"topic list -X security.protocol=SSL -X ssl.key.location=/x":      "ssl.certificate.location and ssl.key.location need each other",
		"topic list -X sasl.jaas.config=x":                                `sasl.jaas.config: no username="..." and password="..." in it`,
		"topic list -F /nothere":                                          "-F: open /nothere: no such file",
		"topic list -X bootstrap.servers=x:y:z":                           `-X: "x:y:z" is not HOST[:PORT]`,
		"profile create x":                                                "profile create: nothing to store",
		"profile create x -b a:b:c":                                       `-b: "a:b:c" is not HOST[:PORT]`,
		"profile create a/b -b a":                                         `"a/b" is no name of a profile`,
		"profile use prdo":                                                `unknown profile "prdo", did you mean "prod"?`,
		"profile use":                                                     "profile use: needs one PROFILE, or --none",
		"profile show prdo":                                               `unknown profile "prdo"`,
		"profile show a b":                                                "profile show: accepts at most 1 arg(s)",
		"profile delete prod":                                             "cannot ask for confirmation without a terminal, add --yes to delete profile prod",
	} {
		r := cli(t, "", strings.Fields(line)...)
		if r.code != 2 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("millrace %s: exit code %d, stdout %q, stderr %q, want %q", line, r.code, r.stdout, r.stderr, want)
		}
	}
	for line, want := range map[string]string{
		"profile create prod -b b":  `profile "prod": profile "prod" exists, delete it first`,
		"profile delete prdo --yes": `unknown profile "prdo", did you mean "prod"?`,
	} {
		if r := cli(t, "", strings.Fields(line)...); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("millrace %s: exit code %d, stderr %q, want %q", line, r.code, r.stderr, want)
		}
	}
	t.Setenv("MILLRACE_CLIENT_CLIENT_DI", "x")
	if r := cli(t, "", "topic", "list"); r.code != 2 || !strings.Contains(r.stderr, "environment variable MILLRACE_CLIENT_CLIENT_DI: unknown setting") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

// The flag wins over the setting, the setting over the default.
func TestCompressionComesFromTheNearerSource(t *testing.T) {
	useBroker(t)
	useProfiles(t)
	line := strings.Repeat("compresses well ", 100) + "\n"
	ok(t, line, "produce", "t")
	ok(t, line, "produce", "t", "-X", "compression.type=lz4")
	ok(t, line, "produce", "t", "-X", "compression.type=lz4", "-z", "zstd")
	if got := ok(t, "", "consume", "t", "-e", "-f", `%a{compression} `); got != "none lz4 zstd " {
		t.Errorf("codecs %q", got)
	}
}

func TestEverySettingIsTakenByAClient(t *testing.T) {
	useBroker(t)
	useProfiles(t)
	ok(t, "a\n", "produce", "t", "-X", "client.id=me", "-X", "acks=1", "-X", "compression.codec=lz4", "-X", "linger.ms=0.5", "-X", "client.rack=r",
		"-X", "max.in.flight=1", "-X", "request.timeout.ms=9000", "-X", "socket.connection.setup.timeout.ms=900", "-X", "connections.max.idle.ms=9000", "-X", "metadata.max.age.ms=60000")
	ok(t, "b\n", "produce", "t", "--acks", "all", "--rate", "1000")
	ok(t, "c\n", "produce", "t", "--acks", "0", "-z", "gzip")
	ok(t, "", "consume", "t", "-o", "2", "-n", "1") // nobody says when what needs no acknowledgement is there
	got := ok(t, "", "consume", "t", "-e", "-g", "g", "-X", "fetch.min.bytes=1", "-X", "fetch.max.bytes=1000000", "-X", "fetch.wait.max.ms=10",
		"-X", "max.partition.fetch.bytes=10000", "-X", "group.instance.id=i", "-X", "session.timeout.ms=10000", "-X", "heartbeat.interval.ms=1000")
	if got != "a\nb\nc\n" {
		t.Errorf("consumed %q", got)
	}
}
