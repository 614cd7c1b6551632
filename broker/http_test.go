package broker

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/disk"
)

// get returns the status and the body of a page of the broker's HTTP port.
func get(t *testing.T, b *Broker, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + b.HTTPAddr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestHealthAndReadiness(t *testing.T) {
	faults := disk.NewFaults(disk.NewMem())
	b := startBroker(t, Options{HTTP: "127.0.0.1:0", fileSystem: faults}, nil)
	for _, path := range []string{"/healthz", "/readyz"} {
		status, body := get(t, b, path)
		if status != http.StatusOK || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt}, Err: syscall.ENOSPC})
	if status, body := get(t, b, "/readyz"); status != http.StatusOK || !strings.Contains(body, `"disk":"full: data directory is not writable`) {
		t.Errorf("with a full disk, which consumers still read from: %d %s", status, body)
	}
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt}, Err: syscall.EIO})
	status, body := get(t, b, "/readyz")
	var answer struct {
		Status string
		Checks map[string]string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if status != http.StatusServiceUnavailable || answer.Status != "not ready" ||
		!strings.Contains(answer.Checks["disk"], "input/output error") || answer.Checks["broker"] != "ok" {
		t.Errorf("with a broken disk: %d %s", status, body)
	}
	if status, body := get(t, b, "/healthz"); status != http.StatusOK {
		t.Errorf("a broken disk does not end the process: %d %s", status, body)
	}
	if status, body := get(t, b, "/readyz?verbose"); status != http.StatusServiceUnavailable ||
		!strings.HasPrefix(body, "[+]broker ok\n[-]disk data directory is not writable") || !strings.HasSuffix(body, "\nreadyz check failed\n") {
		t.Errorf("with a broken disk: %d %s", status, body)
	}
	faults.SetRules()
	if status, body := get(t, b, "/readyz?verbose"); status != http.StatusOK || !strings.HasPrefix(body, "[+]broker ok\n[+]disk ") ||
		!strings.HasSuffix(body, "\nreadyz check passed\n") {
		t.Errorf("with the disk as it was: %d %s", status, body)
	}
	if status, body := get(t, b, "/readyz"); status != http.StatusOK {
		t.Errorf("with the disk as it was: %d %s", status, body)
	}
	if status, _ := get(t, b, "/nonsense"); status != http.StatusNotFound {
		t.Errorf("unknown page: %d", status)
	}
}

func TestNotReadyWhileItShutsDown(t *testing.T) {
	var g gate
	b := startBroker(t, Options{HTTP: "127.0.0.1:0"}, serveWith(produceKey, g.later))
	c := dial(t, b)
	c.send(produceRequest("t", -1, nil))
	waitUntil(t, func() bool { return b.server.memory.used() == 0 && b.metrics.receivedBytes.Load() > 0 })
	stopped := make(chan error, 1)
	go func() { stopped <- b.Shutdown(t.Context()) }()
	waitUntil(t, func() bool { return b.currentState() == stopping })
	if status, body := get(t, b, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "stopping") {
		t.Errorf("%d %s", status, body)
	}
	close(g.door(1))
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
