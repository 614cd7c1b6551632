package e2e

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

// snippet is a program on a page of docs/clients. It is run as it stands there, but for the address of the broker.
type snippet struct {
	page, language string
	has            string // what tells it from others on its page
	file           string // its name as a file
	run            func(t *testing.T, file string) (*exec.Cmd, error)
}

var snippets = []snippet{
	{"go.md", "go", "franz-go", "main.go", runGo},
	{"java.md", "java", "KafkaProducer", "Hello.java", runJava},
	{"python.md", "python", "confluent_kafka", "hello.py", runPython("librdkafka")},
	{"python.md", "python", "aiokafka", "hello.py", runPython("aiokafka")},
	{"node.md", "js", "require('kafkajs')", "hello.js", runNode("kafkajs")},
	{"node.md", "js", "@confluentinc/kafka-javascript", "hello.js", runNode("confluentjs")},
	{"rust.md", "rust", "rdkafka", "main.rs", runRust},
	{"c.md", "c", "rdkafka.h", "hello.c", runC},
	{"cli.md", "sh", "millrace produce", "hello.sh", runShell("bash")},
	{"cli.md", "sh", "kcat", "hello.sh", runShell("kcat")},
	{"go.md", "go", "TransactionalID", "main.go", runGo},
	{"java.md", "java", "initTransactions", "Hello.java", runJava},
	{"python.md", "python", "init_transactions", "hello.py", runPython("librdkafka")},
	{"python.md", "python", "transactional_id", "hello.py", runPython("aiokafka")},
	{"node.md", "js", "maxInFlightRequests", "hello.js", runNode("kafkajs")},
	{"node.md", "js", "kafkaJS: { transactionalId", "hello.js", runNode("confluentjs")},
	{"rust.md", "rust", "init_transactions", "main.rs", runRust},
	{"c.md", "c", "rd_kafka_init_transactions", "hello.c", runC},
	{"cli.md", "sh", "transactional.id", "hello.sh", runShell("kcat")},
}

var fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// TestPagesSayWhatWorks runs the programs of docs/clients. Each says hello through a topic.
func TestPagesSayWhatWorks(t *testing.T) {
	for _, s := range snippets {
		t.Run(s.page+" "+s.has, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, "-X", "group.initial.rebalance.delay.ms=0")
			file := filepath.Join(t.TempDir(), s.file)
			program := strings.ReplaceAll(s.on(t), "localhost:9092", server.addr)
			if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			run := foreign{name: s.page, program: func() (*exec.Cmd, error) { return s.run(t, file) }}.command(t)
			run.Env = append(run.Environ(), "MILLRACE_BROKERS="+server.addr, "PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			out, err := output(run)
			if err != nil || !slices.Contains(strings.Split(string(out), "\n"), "hello") {
				t.Errorf("it ended with %v and said\n%s", err, out)
			}
		})
	}
}

// TestEverySnippetIsRun finds programs on the pages that nobody runs.
func TestEverySnippetIsRun(t *testing.T) {
	pages, err := filepath.Glob("../docs/clients/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range fenced.FindAllStringSubmatch(string(text), -1) {
			if block[1] != "text" && !slices.ContainsFunc(snippets, func(s snippet) bool {
				return s.page == filepath.Base(page) && s.language == block[1] && strings.Contains(block[2], s.has)
			}) {
				t.Errorf("%s: nobody runs\n%s", page, block[0])
			}
		}
	}
}

// on is the program that stands on the page.
func (s snippet) on(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../docs/clients", s.page))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range fenced.FindAllStringSubmatch(string(text), -1) {
		if block[1] == s.language && strings.Contains(block[2], s.has) {
			return block[2]
		}
	}
	t.Fatalf("%s has no %s with %q", s.page, s.language, s.has)
	return ""
}

func runGo(_ *testing.T, file string) (*exec.Cmd, error) {
	run := exec.Command("go", "run", file)
	run.Dir = "clients"
	return run, run.Err
}

func runJava(_ *testing.T, file string) (*exec.Cmd, error) { return javaCommand("", file) }

func runPython(environment string) func(*testing.T, string) (*exec.Cmd, error) {
	return func(_ *testing.T, file string) (*exec.Cmd, error) {
		python, err := cached(environment, "bin", "python")
		return exec.Command(python, file), err
	}
}

func runNode(name string) func(*testing.T, string) (*exec.Cmd, error) {
	return func(_ *testing.T, file string) (*exec.Cmd, error) {
		modules, err := cached(name, "node_modules")
		node := exec.Command("node", file)
		node.Env = append(os.Environ(), "NODE_PATH="+modules)
		return node, err
	}
}

// runRust builds the program with the crates of clients/rust, under a name of its own.
func runRust(_ *testing.T, file string) (*exec.Cmd, error) {
	target, err := cached("rust")
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(file)
	if err := os.CopyFS(dir, os.DirFS("clients/rust")); err != nil {
		return nil, err
	}
	for _, name := range []string{"Cargo.toml", "Cargo.lock"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		text = bytes.Replace(text, []byte(`name = "client"`), []byte(`name = "hello"`), 1)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(file, filepath.Join(dir, "src", "main.rs")); err != nil {
		return nil, err
	}
	run := exec.Command("cargo", "run", "--quiet", "--locked", "--offline", "--manifest-path", filepath.Join(dir, "Cargo.toml"))
	run.Env = append(os.Environ(), "CARGO_TARGET_DIR="+target)
	return run, run.Err
}

func runC(_ *testing.T, file string) (*exec.Cmd, error) {
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "rdkafka").Output()
	if err != nil {
		return nil, err
	}
	program := strings.TrimSuffix(file, ".c")
	if text, err := exec.Command("cc", append([]string{"-Wall", "-o", program, file}, strings.Fields(string(flags))...)...).CombinedOutput(); err != nil {
		return nil, &exec.Error{Name: "cc: " + string(text), Err: err}
	}
	return exec.Command(program), nil
}

func runShell(needs string) func(*testing.T, string) (*exec.Cmd, error) {
	return func(_ *testing.T, file string) (*exec.Cmd, error) {
		_, err := exec.LookPath(needs)
		return exec.Command("bash", "-eu", file), err
	}
}
