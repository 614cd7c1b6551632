package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// worker is a process of the program recount.
type worker struct {
	t       *testing.T
	brokers string
	state   string
	command *exec.Cmd
	errors  *lockedBuffer
	exited  chan struct{} // closed at its end
}

// buildRecount compiles the program, once.
var buildRecount = sync.OnceValues(func() (string, error) {
	program := filepath.Join(filepath.Dir(binary), "recount")
	build := exec.Command("go", "build", "-o", program, "./recount")
	build.Stderr = os.Stderr
	return program, build.Run()
})

func startWorker(t *testing.T, brokers string) *worker {
	t.Helper()
	w := &worker{t: t, brokers: brokers, state: t.TempDir(), errors: &lockedBuffer{}}
	t.Cleanup(func() {
		w.kill()
		if t.Failed() {
			t.Logf("the worker's standard error:\n%s", w.errors.tail())
		}
	})
	w.start()
	return w
}

// recountSession is how soon others take over from a process that gives no sign of life.
const recountSession = 3 * time.Second

func (w *worker) start() {
	w.t.Helper()
	program, err := buildRecount()
	if err != nil {
		w.t.Fatalf("build recount: %v", err)
	}
	w.command = exec.Command(program, "-brokers", w.brokers, "-state", w.state, "-session", recountSession.String())
	w.command.Stderr = w.errors
	if err := w.command.Start(); err != nil {
		w.t.Fatal(err)
	}
	command, exited := w.command, make(chan struct{})
	w.exited = exited
	go func() {
		defer close(exited)
		_ = command.Wait() // how it ended is in ProcessState
	}()
}

func (w *worker) signal(signal syscall.Signal) {
	w.t.Helper()
	if err := w.command.Process.Signal(signal); err != nil {
		w.t.Fatalf("%v to a worker: %v\n%s", signal, err, w.errors.tail())
	}
}

// kill ends the process as kill -9 does, if it runs.
func (w *worker) kill() {
	_ = w.command.Process.Kill() // it fails only if the process has ended
	<-w.exited
}

// terminate lets the process finish what it does.
func (w *worker) terminate() {
	w.t.Helper()
	w.signal(syscall.SIGTERM)
	select {
	case <-w.exited:
	case <-time.After(patience):
		w.t.Fatalf("a worker did not end after SIGTERM:\n%s", w.errors.tail())
	}
	if code := w.command.ProcessState.ExitCode(); code != 0 {
		w.t.Errorf("a worker ended with exit code %d after SIGTERM:\n%s", code, w.errors.tail())
	}
}

// checkAlive fails if the process has ended, as none does by itself.
func (w *worker) checkAlive() {
	w.t.Helper()
	select {
	case <-w.exited:
		w.t.Fatalf("a worker ended by itself: %v\n%s", w.command.ProcessState, w.errors.tail())
	default:
	}
}
