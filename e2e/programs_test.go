package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func goProgram(name string) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		out := filepath.Join(filepath.Dir(binary), "client-"+name)
		build := exec.Command("go", "build", "-o", out, "./"+name)
		build.Dir = "clients"
		if text, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build clients/%s: %w\n%s", name, err, text)
		}
		return exec.Command(out), nil
	}
}

// pythonProgram runs clients/<folder>/client.py in the virtual environment that setup.sh makes.
func pythonProgram(environment, folder string) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		python, err := cached(environment, "bin", "python")
		if err != nil {
			return nil, err
		}
		return exec.Command(python, filepath.Join("clients", folder, "client.py")), nil
	}
}

// errUnsuited says that a client cannot be had with what is installed, which is no fault of the machine.
var errUnsuited = errors.New("unsuited")

// oldPythonProgram is a pythonProgram that no Python from 3.12 on can import.
func oldPythonProgram(environment, folder string) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		if exec.Command("python3", "-c", "import sys; sys.exit(sys.version_info >= (3, 12))").Run() != nil {
			return nil, fmt.Errorf("%w: it needs a Python before 3.12", errUnsuited)
		}
		return pythonProgram(environment, folder)()
	}
}

// cached is a path below the cache that setup.sh fills.
func cached(elements ...string) (string, error) {
	path, err := filepath.Abs(filepath.Join(append([]string{"..", ".cache", "e2e"}, elements...)...))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w (e2e/setup.sh makes it)", err)
	}
	return path, nil
}

// javaCommand runs Java with the jars of setup.sh, small and quick to start.
func javaCommand(classPath string, arguments ...string) (*exec.Cmd, error) {
	jars, err := cached("jars")
	if err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("java"); err != nil {
		return nil, err
	}
	path := strings.Join([]string{classPath, filepath.Join(jars, "*")}, string(os.PathListSeparator))
	return exec.Command("java", append([]string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path}, arguments...)...), nil
}

// javaClasses compiles clients/java, once.
var javaClasses = sync.OnceValues(func() (string, error) {
	jars, err := cached("jars")
	if err != nil {
		return "", err
	}
	sources, err := filepath.Glob("clients/java/*.java")
	if err != nil {
		return "", err
	}
	out := filepath.Join(filepath.Dir(binary), "classes")
	arguments := append([]string{"-cp", filepath.Join(jars, "*"), "-d", out}, sources...)
	if text, err := exec.Command("javac", arguments...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile clients/java: %w\n%s", err, text)
	}
	return out, nil
})

func javaProgram(class string) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		classes, err := javaClasses()
		if err != nil {
			return nil, err
		}
		return javaCommand(classes, class)
	}
}

func nodeProgram(name string) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		modules, err := cached(name, "node_modules")
		if err != nil {
			return nil, err
		}
		node := exec.Command("node", filepath.Join("clients", name, "client.js"))
		node.Env = append(os.Environ(), "NODE_PATH="+modules)
		return node, node.Err
	}
}

// rustProgram is built anew only where its source has changed; setup.sh has built what it needs.
func rustProgram() (*exec.Cmd, error) {
	target, err := cached("rust")
	if err != nil {
		return nil, err
	}
	build := exec.Command("cargo", "build", "--quiet", "--locked", "--offline", "--manifest-path", "clients/rust/Cargo.toml")
	build.Env = append(os.Environ(), "CARGO_TARGET_DIR="+target)
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build clients/rust: %w\n%s", err, text)
	}
	return exec.Command(filepath.Join(target, "debug", "client")), nil
}

func kcatProgram() (*exec.Cmd, error) {
	if _, err := exec.LookPath("kcat"); err != nil {
		return nil, fmt.Errorf("%w (e2e/setup.sh installs it where it may)", err)
	}
	return exec.Command("clients/kcat/client.sh"), nil
}

// command is the client's program with its arguments; the test is skipped where it cannot run, except in CI.
func (f foreign) command(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	c, err := f.program()
	if err != nil {
		if os.Getenv("CI") != "" && !errors.Is(err, errUnsuited) {
			t.Fatalf("%s must run in CI: %v", f.name, err)
		}
		t.Skipf("skipped: client %s is not here: %v", f.name, err)
	}
	c.Args = append(c.Args, arguments...)
	c.Stderr = os.Stderr
	return c
}

// programPatience is how long a program may take that ends by itself: some minutes, since it may have to be compiled first.
const programPatience = 5 * time.Minute

// output runs the program and returns what it printed. One that hangs is killed, with all that it started, so that it
// costs its own test and not the whole run.
func output(c *exec.Cmd) ([]byte, error) {
	var printed bytes.Buffer
	c.Stdout = &printed
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return nil, err
	}
	hung := time.AfterFunc(programPatience, func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) })
	err := c.Wait()
	if !hung.Stop() {
		err = fmt.Errorf("killed after %v: %w", programPatience, err)
	}
	return printed.Bytes(), err
}
