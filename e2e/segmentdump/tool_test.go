package segmentdump

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const toolClass = "kafka.tools.DumpLogSegments"

// jarDirectory is below the repository's cache, so that the jars are fetched once and not by every run.
var jarDirectory = filepath.Join("..", "..", ".cache", "segmentdump", "kafka-4.1.0")

// fetchJars returns why the tool cannot run, "" if it can.
var fetchJars = sync.OnceValue(func() (obstacle string) {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
	}
	complete := filepath.Join(jarDirectory, "complete")
	if _, err := os.Stat(complete); err == nil {
		return ""
	}
	directory, err := filepath.Abs(jarDirectory)
	if err != nil {
		return err.Error()
	}
	mvn := exec.Command("mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory="+directory)
	if output, err := mvn.CombinedOutput(); err != nil {
		return "mvn cannot fetch Kafka's jars: " + err.Error() + ": " + string(bytes.TrimSpace(output))
	}
	if err := os.WriteFile(complete, nil, 0o644); err != nil {
		return err.Error()
	}
	return ""
})

// needTool skips the test where the tool cannot run, and fails it where it must.
func needTool(t *testing.T) {
	t.Helper()
	obstacle := fetchJars()
	switch {
	case obstacle == "":
	case os.Getenv("CI") != "":
		t.Fatalf("Kafka's segment dump tool must run under CI: %s", obstacle)
	default:
		t.Skipf("Kafka's segment dump tool does not run here: %s", obstacle)
	}
}

// dumped is what one run of the tool printed.
type dumped struct {
	stdout, stderr string
}

// runTool runs the tool on files.
func runTool(t *testing.T, files []string, flags ...string) dumped {
	t.Helper()
	needTool(t)
	arguments := append([]string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-cp", filepath.Join(jarDirectory, "*"), toolClass, "--files", strings.Join(files, ",")}, flags...)
	java := exec.Command("java", arguments...)
	// Java tells on its standard error of options that it finds there.
	java.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasSuffix(name, "JAVA_OPTIONS") || name == "JAVA_TOOL_OPTIONS"
	})
	var stdout, stderr bytes.Buffer
	java.Stdout, java.Stderr = &stdout, &stderr
	if err := java.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", toolClass, err, &stdout, &stderr)
	}
	return dumped{stdout.String(), stderr.String()}
}

// complaints are the lines by which the tool says that something is wrong.
func (d dumped) complaints() (lines []string) {
	for line := range strings.Lines(d.stderr) {
		lines = append(lines, strings.TrimSpace(line))
	}
	for line := range strings.Lines(d.stdout) {
		for _, sign := range []string{"isvalid: false", "invalid bytes", "Exception"} {
			if strings.Contains(line, sign) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return lines
}

// fields reads the "name: value" pairs of a line; a value ends where the next name begins.
func fields(line string) map[string]string {
	values := map[string]string{}
	name := ""
	for _, word := range strings.Fields(strings.TrimPrefix(line, "| ")) {
		if key, isName := strings.CutSuffix(word, ":"); isName {
			name = key
			values[name] = ""
		} else if values[name] == "" {
			values[name] = word
		} else {
			values[name] += " " + word
		}
	}
	return values
}
