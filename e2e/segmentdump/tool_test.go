package segmentdump

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const toolClass = "org.apache.kafka.tools.DumpLogSegments"

// jarDirectory has Kafka's jars, which e2e/setup.sh fetches.
var jarDirectory = filepath.Join("..", "..", ".cache", "e2e", "jars")

// obstacle is why the tool cannot run, "" if it can.
func obstacle() string {
	if _, err := exec.LookPath("java"); err != nil {
		return err.Error()
	}
	if _, err := os.Stat(filepath.Join(jarDirectory, "installed")); err != nil {
		return err.Error() + " (e2e/setup.sh makes it)"
	}
	return ""
}

// needTool skips the test where the tool cannot run, and fails it where it must.
func needTool(t *testing.T) {
	t.Helper()
	obstacle := obstacle()
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

// ownStart is how Kafka 4.3's tool complains of every segment that does not begin at 0, as if an offset -1 came before it.
var ownStart = regexp.MustCompile(`(?m)^Non-consecutive offsets in \S*/0*(\d+)\.log\n\s*-1 is followed by (\d+)\n`)

// complaints are the lines by which the tool says that something is wrong.
func (d dumped) complaints() (lines []string) {
	said := ownStart.ReplaceAllStringFunc(d.stderr, func(complaint string) string {
		if found := ownStart.FindStringSubmatch(complaint); found[1] == found[2] { // the segment begins where its name says
			return ""
		}
		return complaint
	})
	for line := range strings.Lines(said) {
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
