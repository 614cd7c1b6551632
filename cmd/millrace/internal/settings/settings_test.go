package settings

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func loaded(t *testing.T, name, text string) (map[string]string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var s Settings
	err := s.ReadFile(path)
	return s.Values(), err
}

func TestYAMLFlattens(t *testing.T) {
	got, err := loaded(t, "a.yaml", "# comment\nlog.segment.bytes: 1048576\nlog:\n  retention:\n    ms: -1\nlog.dirs: [/a, /b]\nauto.create.topics.enable: false\nempty:\n")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"log.segment.bytes": "1048576", "log.retention.ms": "-1", "log.dirs": "/a,/b", "auto.create.topics.enable": "false", "empty": ""}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPropertiesReadAsJavaDoes(t *testing.T) {
	got, err := loaded(t, "server.properties", "# c\n! c\n\na=1\r\nb : 2\nc 3\nd=\\\n  4,\\\n  5\ne\\ f=x\\=y\ng=tab\\there \\u00e9\nh\na=6 \ni==7\nj=C:\\\\x\\\\\n")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "6", "b": "2", "c": "3", "d": "4,5", "e f": "x=y", "g": "tab\there é", "h": "", "i": "=7", "j": `C:\x\`}
	if !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBrokenFilesNameTheLine(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a.yaml", "a: 1\na: 2\n", "line 2: a is there twice"},
		{"a.yaml", "a.b: 1\na:\n  b: 2\n", "line 3: a.b is there twice"},
		{"a.yml", "- a\n", "line 1: not a mapping"},
		{"a.yml", "a: [[1]]\n", "line 1: a: a list must hold plain values"},
		{"a.yml", "a: &x 1\nb: *x\n", "line 2: b: must be a plain value"},
		{"a.yml", "a: 1\n---\nb: 1\n", "line 2: a second document"},
		{"a.yml", "a: b: c\n", "mapping values are not allowed"},
		{"a.properties", "x=1\n=2\n", "line 2: no key"},
		{"a.properties", "x=\\u12\n", "line 1: "},
	} {
		if _, err := loaded(t, test.name, test.text); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want %q", test.text, err, test.want)
		}
	}
	var s Settings
	if err := s.ReadFile(filepath.Join(t.TempDir(), "absent.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want not exist", err)
	}
}

func TestEnvironmentFollowsTheImageScheme(t *testing.T) {
	var s Settings
	s.ReadEnvironment([]string{
		"PATH=/bin", "KAFKA_HEAP_OPTS=-Xmx1g", "MILLRACE_BROKERS=x:1", "MILLRACE_DATA_DIR=/d", "MILLRACE_=x", "MILLRACE_TEST_LOG=1", "MILLRACE_LONG=1", "KAFKA_NUM_PARTITIONS=",
		"KAFKA_SERVICE_HOST=10.0.0.1", "KAFKA_PORT=tcp://10.0.0.1:9092", "KAFKA_SERVICE_PORT=9092", "KAFKA_SERVICE_PORT_HTTP=9644",
		"MILLRACE_PORT_9092_TCP=tcp://10.0.0.1:9092", "MILLRACE_PORT_9092_TCP_ADDR=10.0.0.1", "MILLRACE_HEADLESS_SERVICE_HOST=10.0.0.1",
		"MILLRACE_LOG_SEGMENT_BYTES=2", "KAFKA_LOG_SEGMENT_BYTES=1", "KAFKA_A__B=c=d", "KAFKA_A___B=e", "KAFKA_LISTENERS=PLAINTEXT://:9092",
	}, "MILLRACE_DATA_DIR")
	want := map[string]string{"log.segment.bytes": "2", "a_b": "c=d", "a-b": "e", "listeners": "PLAINTEXT://:9092"}
	if got := s.Values(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestExplainTellsWhereAKeyWasSet(t *testing.T) {
	var s Settings
	s.Set("log.segment", "1", Source{File, "file a"})
	s.Set("log.segment.bytes", "x", Source{Flag, "flag -X"})
	got := s.Explain(errors.New(`unknown setting "log.segment.bytes"`)).Error()
	if want := `unknown setting "log.segment.bytes" (from flag -X)`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got = s.Explain(errors.New(`unknown setting "log.segment"; did you mean "log.segment.bytes"?`)).Error()
	if !strings.HasSuffix(got, "(from file a)") {
		t.Errorf("got %q, want the source of the one that is unknown", got)
	}
	s.Delete("log.segment.bytes")
	if got := s.Explain(errors.New(`unknown setting "log.segment.bytes"`)).Error(); strings.Contains(got, "from") {
		t.Errorf("got %q for a key that is not set", got)
	}
}

func TestPairs(t *testing.T) {
	if key, value, err := ParsePair("-X", "a.b=c=d"); err != nil || key != "a.b" || value != "c=d" {
		t.Errorf("got %q %q %v", key, value, err)
	}
	for _, pair := range []string{"", "a", "=b"} {
		if _, _, err := ParsePair("-X", pair); err == nil || !strings.HasPrefix(err.Error(), "-X: ") {
			t.Errorf("%q: got %v", pair, err)
		}
	}
}
