package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/disk"
)

const (
	httpHeaderTimeout   = 5 * time.Second
	httpRequestTimeout  = 30 * time.Second
	httpHeaderBytesMax  = 16 << 10
	httpShutdownTimeout = time.Second
)

// httpServer serves /healthz, /readyz, /metrics, /version and, if asked for, the debug pages.
type httpServer struct {
	broker   *Broker
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
	probing  sync.Mutex  // one probe of the disk at a time
	debug    *debugPages // nil: none
}

func newHTTPServer(b *Broker, listener net.Listener) *httpServer {
	h := &httpServer{broker: b, listener: listener}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /version", h.version)
	mux.Handle("GET /metrics", newMetricsHandler(b))
	if b.options.Debug {
		h.debug = &debugPages{}
		h.debug.register(mux)
	}
	h.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: httpHeaderTimeout,
		ReadTimeout:       httpRequestTimeout,
		WriteTimeout:      httpRequestTimeout,
		MaxHeaderBytes:    httpHeaderBytesMax,
		ErrorLog:          slog.NewLogLogger(b.logger.Handler(), slog.LevelDebug),
	}
	return h
}

func (h *httpServer) start() {
	if h.debug != nil {
		h.startDebug()
	}
	h.serving.Go(func() {
		if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
			h.broker.logger.Error("http server stopped", "err", err)
		}
	})
}

// startDebug warns where more than this machine may look: profiles say much, and cost time.
func (h *httpServer) startDebug() {
	if err := h.debug.start(); err != nil {
		h.broker.logger.Warn("no flight recorder", "err", err)
	}
	if address, ok := h.listener.Addr().(*net.TCPAddr); ok && !address.IP.IsLoopback() {
		h.broker.logger.Warn("debug pages are served beyond this machine", "address", address.String())
	}
}

func (h *httpServer) close() error {
	if h.debug != nil {
		defer h.debug.stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpShutdownTimeout)
	defer cancel()
	err := h.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = h.server.Close()
	}
	h.serving.Wait()
	return err
}

// healthz says that the process is alive.
func (h *httpServer) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, health{Status: "ok"})
}

// readyz says whether clients can be served, and why not: in JSON, and with ?verbose in a line for each check.
func (h *httpServer) readyz(w http.ResponseWriter, r *http.Request) {
	checks := h.readiness()
	status := http.StatusOK
	if slices.ContainsFunc(checks, func(c check) bool { return c.err != nil }) {
		status = http.StatusServiceUnavailable
	}
	if r.URL.Query().Has("verbose") {
		writeChecks(w, status, checks)
		return
	}
	answer := health{Status: "ready", Checks: map[string]string{}}
	if status != http.StatusOK {
		answer.Status = "not ready"
	}
	for _, c := range checks {
		answer.Checks[c.name] = c.text()
	}
	writeJSON(w, status, answer)
}

// writeChecks writes a line for each check, as Kubernetes does.
func writeChecks(w http.ResponseWriter, status int, checks []check) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	for _, c := range checks {
		sign := "+"
		if c.err != nil {
			sign = "-"
		}
		fmt.Fprintf(w, "[%s]%s %s\n", sign, c.name, c.text())
	}
	if status == http.StatusOK {
		fmt.Fprintln(w, "readyz check passed")
	} else {
		fmt.Fprintln(w, "readyz check failed")
	}
}

// version says what runs.
func (h *httpServer) version(w http.ResponseWriter, _ *http.Request) {
	version, revision := buildVersion()
	writeJSON(w, http.StatusOK, map[string]string{"version": version, "revision": revision, "goversion": runtime.Version()})
}

// health is the body of /healthz and /readyz.
type health struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails when the client has gone
}

// check is one condition for being ready.
type check struct {
	name string
	err  error  // nil: it holds
	note string // what to say of one that holds, "": ok
}

// text is what is said of the check in one line.
func (c *check) text() string {
	if c.err != nil {
		return strings.Join(strings.Fields(c.err.Error()), " ")
	}
	return cmp.Or(c.note, "ok")
}

// probeName is the file that is written and removed to see whether the data directory can be written to.
const probeName = ".probe"

// readiness lists what has to hold for clients to be served.
func (h *httpServer) readiness() []check {
	if s := h.broker.currentState(); s != running {
		return []check{{name: "broker", err: fmt.Errorf("broker is %s", s)}}
	}
	return []check{{name: "broker"}, h.diskCheck()}
}

// diskCheck asks whether the data directory can be written to. A disk without room is told and no failure: consumers read
// on, and who makes room has to reach the broker.
func (h *httpServer) diskCheck() check {
	c := check{name: "disk", note: h.broker.disk.note(), err: h.probeDisk()}
	if errors.Is(c.err, syscall.ENOSPC) || errors.Is(c.err, syscall.EDQUOT) {
		c.note, c.err = cmp.Or(c.note, "full: "+c.err.Error()), nil
	}
	return c
}

func (h *httpServer) probeDisk() error {
	h.probing.Lock()
	defer h.probing.Unlock()
	options := &h.broker.options
	name := filepath.Join(options.DataDir, probeName)
	if err := disk.WriteAtomic(options.fileSystem, name, []byte("ok\n")); err != nil {
		return fmt.Errorf("data directory is not writable: %w", err)
	}
	return options.fileSystem.Remove(name)
}
