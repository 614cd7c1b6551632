package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestGenerateUsage(t *testing.T) {
	for name, beginning := range map[string]string{
		"compose": "# One broker.", "config": "# Settings of millrace", "dockerfile": "# An image", "kubernetes": "# One broker", "systemd": "# /etc/systemd",
	} {
		if got := ok(t, "", "generate", name); !strings.HasPrefix(got, beginning) || !strings.HasSuffix(got, "\n") {
			t.Errorf("generate %s begins with %.40q", name, got)
		}
	}
	if r := cli(t, "", "generate", "sytemd"); r.code != 2 || !strings.Contains(r.stderr, `did you mean "systemd"?`) {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
}

// What is printed is what lies in docs/deploy.
func TestGeneratedFilesAreThoseOfTheRepository(t *testing.T) {
	for name, file := range map[string]string{
		"compose": "docker/compose.yaml", "config": "millrace.yaml", "dockerfile": "docker/Dockerfile",
		"kubernetes": "kubernetes/millrace.yaml", "systemd": "systemd/millrace.service",
	} {
		want, err := os.ReadFile(filepath.Join("../../docs/deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		if got := ok(t, "", "generate", name); got != string(want) {
			t.Errorf("generate %s is not %s", name, file)
		}
	}
}

func TestDeploymentFilesAreYAML(t *testing.T) {
	for _, name := range []string{"compose", "kubernetes", "config"} {
		decoder := yaml.NewDecoder(strings.NewReader(ok(t, "", "generate", name)))
		for {
			var document map[string]any // duplicate keys are errors
			if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("generate %s: %v", name, err)
				break
			}
		}
	}
}

// Each line of the configuration file is valid as it stands there, and so are all of them together.
func TestTheConfigurationFileIsValidWithoutItsCommentSigns(t *testing.T) {
	setting := regexp.MustCompile(`(?m)^# ([a-z.]+: \S+)$`)
	text := setting.ReplaceAllString(ok(t, "", "generate", "config"), "$1")
	if n := len(setting.FindAllString(text, -1)); n != 0 || strings.Count(text, "\nnum.partitions: 1\n") != 1 {
		t.Fatalf("not all comment signs are gone:\n%s", text)
	}
	file := filepath.Join(t.TempDir(), "millrace.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := cli(t, "", "serve", "--check", "-c", file); r.code != 0 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

// The settings within the files of the image and of Kubernetes are valid too.
func TestTheImagesSettingsAreValid(t *testing.T) {
	if r := cli(t, "", "serve", "--check", "-c", "../../docs/deploy/docker/millrace.yaml"); r.code != 0 {
		t.Errorf("the image: exit code %d: %s", r.code, r.stderr)
	}
	var config struct {
		Data map[string]string `yaml:"data"`
	}
	if err := yaml.NewDecoder(strings.NewReader(ok(t, "", "generate", "kubernetes"))).Decode(&config); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "millrace.yaml")
	if err := os.WriteFile(file, []byte(config.Data["millrace.yaml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MILLRACE_ADVERTISED_LISTENERS", "PLAINTEXT://millrace-0.millrace.default.svc:9092")
	if r := cli(t, "", "serve", "--check", "-c", file); r.code != 0 {
		t.Errorf("kubernetes: exit code %d: %s", r.code, r.stderr)
	}
}
