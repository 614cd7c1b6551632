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
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/millrace/millrace/internal/disk"
)

const (
	httpHeaderTimeout   = 5 * time.Second
	httpRequestTimeout  = 30 * time.Second
	httpHeaderBytesMax  = 16 << 10
	httpShutdownTimeout = time.Second
)

// httpServer serves /healthz, /readyz and /metrics.
type httpServer struct {
	broker   *Broker
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
	probing  sync.Mutex // one probe of the disk at a time
}

func newHTTPServer(b *Broker, listener net.Listener) *httpServer {
	h := &httpServer{broker: b, listener: listener}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(newCollector(b))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true,
	}))
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
	h.serving.Go(func() {
		if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
			h.broker.logger.Error("http server stopped", "err", err)
		}
	})
}

func (h *httpServer) close() error {
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

// readyz says whether clients can be served, and why not.
func (h *httpServer) readyz(w http.ResponseWriter, _ *http.Request) {
	checks := h.readiness()
	answer := health{Status: "ready", Checks: map[string]string{}}
	status := http.StatusOK
	for _, c := range checks {
		answer.Checks[c.name] = cmp.Or(c.note, "ok")
		if c.err != nil {
			answer.Checks[c.name] = c.err.Error()
			answer.Status, status = "not ready", http.StatusServiceUnavailable
		}
	}
	writeJSON(w, status, answer)
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

// probeName is the file that is written and removed to see whether the data directory can be written to.
const probeName = ".probe"

// readiness lists what has to hold for clients to be served.
func (h *httpServer) readiness() []check {
	if s := h.broker.currentState(); s != running {
		return []check{{name: "broker", err: fmt.Errorf("broker is %s", s)}}
	}
	return []check{{name: "broker"}, {name: "disk", err: h.probeDisk(), note: h.broker.disk.note()}}
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
