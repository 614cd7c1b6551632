package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/millrace/millrace/broker/internal/config"
)

const (
	acceptRetryMin = 5 * time.Millisecond // pause after a failed accept (no file descriptors left, for instance)
	acceptRetryMax = time.Second
)

// limits bound what clients can take.
type limits struct {
	requestBytes      int32
	firstRequestBytes int32 // for who has not sent a valid request yet
	connections       int
	connectionsPerIP  int
	idle              time.Duration // 0 or less: no limit
}

func limitsOf(c *config.Broker) (limits, error) {
	topic, err := c.Topic(nil)
	if err != nil {
		return limits{}, err
	}
	return limits{
		requestBytes:      c.SocketRequestMaxBytes,
		firstRequestBytes: int32(min(int64(c.SocketRequestMaxBytes), firstRequestMax+int64(topic.MaxMessageBytes))),
		connections:       int(c.MaxConnections),
		connectionsPerIP:  int(c.MaxConnectionsPerIp),
		idle:              time.Duration(c.ConnectionsMaxIdleMs) * time.Millisecond,
	}, nil
}

// server accepts connections and knows those that are open.
type server struct {
	broker    *Broker
	limits    atomic.Pointer[limits] // some of them change at run time
	logger    *limitedLogger
	metrics   *metrics
	memory    requestMemory
	endpoints []endpoint // at least one

	strandedToldMs atomic.Int64 // when a stranded client was last told of
	came           atomic.Int64 // connections so far

	ctx       context.Context // ends when the server is aborted
	cancel    context.CancelFunc
	calls     context.Context // ends then, and when the server drains
	stopCalls context.CancelFunc
	draining  atomic.Bool
	running   sync.WaitGroup // accepting, one for each endpoint, and one for each connection

	mu struct {
		sync.Mutex
		closed  bool // nobody is accepted any more
		conns   map[*conn]struct{}
		perHost map[string]hostConnections
	}
}

func newServer(b *Broker, endpoints []endpoint) *server {
	limit := b.config.QueuedMaxRequestBytes
	if limit < 0 {
		limit = math.MaxInt64
	}
	s := &server{
		broker: b, logger: newLimitedLogger(b.logger), metrics: b.metrics,
		memory: newRequestMemory(limit), endpoints: endpoints,
	}
	s.limits.Store(&b.limits)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.calls, s.stopCalls = context.WithCancel(s.ctx)
	s.mu.conns, s.mu.perHost = map[*conn]struct{}{}, map[string]hostConnections{}
	return s
}

// reconfigure goes by other limits from the next connection on; those that are open stay.
func (s *server) reconfigure(settings *config.Broker) {
	limits, err := limitsOf(settings)
	if err != nil {
		s.logger.log(slog.LevelError, "limits not taken over", "err", err)
		return
	}
	s.limits.Store(&limits)
}

// start accepts connections until drain or abort is called.
func (s *server) start() {
	for i := range s.endpoints {
		s.running.Go(func() { s.accept(&s.endpoints[i]) })
	}
}

func (s *server) accept(e *endpoint) {
	pause := acceptRetryMin
	for {
		nc, err := e.listener.Accept()
		if err == nil {
			pause = acceptRetryMin
			s.admit(nc, e.name)
			continue
		}
		if s.calls.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		s.logger.log(slog.LevelWarn, "accept failed", "listener", e.name, "err", err, "retry", pause)
		select {
		case <-s.calls.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, acceptRetryMax)
	}
}

// admit serves a connection, or closes it if there are too many.
func (s *server) admit(nc net.Conn, listener string) {
	host := hostOf(nc.RemoteAddr())
	c := newConn(s, nc, host, listener)
	if reason := s.register(c); reason != "" {
		s.metrics.rejected(reason)
		s.logger.log(slog.LevelWarn, "connection refused", "client", host, "reason", reason)
		c.close()
	}
}

// register counts c in and starts it, or returns why that is not possible.
func (s *server) register(c *conn) (reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.closed:
		return rejectedStopping
	case len(s.mu.conns) >= s.limits.Load().connections:
		return rejectedTotal
	case s.mu.perHost[c.host].open >= s.limits.Load().connectionsPerIP:
		return rejectedPerIP
	}
	s.mu.conns[c] = struct{}{}
	c.number = s.came.Add(1)
	host := s.mu.perHost[c.host]
	s.mu.perHost[c.host] = hostConnections{host.open + 1, host.arrivals + 1}
	s.metrics.connected(c.listener)
	s.running.Go(c.serve)
	return ""
}

// ended counts c out. err is why it ended.
func (s *server) ended(c *conn, err error) {
	s.mu.Lock()
	delete(s.mu.conns, c)
	host := s.mu.perHost[c.host]
	if host.open--; host.open == 0 {
		delete(s.mu.perHost, c.host)
	} else {
		s.mu.perHost[c.host] = host
	}
	s.mu.Unlock()
	var panicked *panicError
	switch {
	case errors.As(err, &panicked):
		s.metrics.panics.Add(1)
		s.broker.logger.Error("request handler panicked", "client", c.host, "client_id", c.clientID, "err", err,
			"stack", string(panicked.stack))
	case expectedEnd(err):
		s.broker.logger.Debug("connection closed", "client", c.host, "client_id", c.clientID, "err", err)
	default:
		s.logger.log(slog.LevelWarn, "connection closed", "client", c.host, "client_id", c.clientID, "err", err)
	}
}

// expectedEnd reports whether a connection that ended by err is nothing to talk about: the client left, was silent
// for too long, or the broker stops.
func expectedEnd(err error) bool {
	for _, expected := range []error{nil, io.EOF, net.ErrClosed, io.ErrClosedPipe, os.ErrDeadlineExceeded, errDraining,
		context.Canceled, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, expected) {
			return true
		}
	}
	return false
}

// connections is how many are open, by listener.
func (s *server) connections() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := map[string]int{}
	for _, e := range s.endpoints {
		open[e.name] = 0
	}
	for c := range s.mu.conns {
		open[c.listener]++
	}
	return open
}

// drain stops accepting, wakes requests that wait for something, and lets each connection finish what it was asked.
// It returns when all are gone, or when ctx ends.
func (s *server) drain(ctx context.Context) {
	s.draining.Store(true)
	s.stopCalls()
	for _, c := range s.stopAccepting() {
		_ = c.net.SetReadDeadline(time.Unix(1, 0)) // fails if it is closed already
	}
	abort := context.AfterFunc(ctx, s.abort)
	s.running.Wait()
	abort()
}

// abort ends all connections at once. It does not wait for them.
func (s *server) abort() {
	s.draining.Store(true)
	s.cancel()
	for _, c := range s.stopAccepting() {
		c.close()
	}
}

// endpoint is the one with that name, in any case of letters, or the first one.
func (s *server) endpoint(name string) *endpoint {
	for i := range s.endpoints {
		if strings.EqualFold(s.endpoints[i].name, name) {
			return &s.endpoints[i]
		}
	}
	return &s.endpoints[0]
}

// stopAccepting closes the listeners and returns the connections that are open.
func (s *server) stopAccepting() []*conn {
	for _, e := range s.endpoints {
		_ = e.listener.Close() // a second close fails, and that is fine
	}
	s.mu.Lock()
	s.mu.closed = true
	s.mu.Unlock()
	return s.open()
}

// open returns the connections that are open.
func (s *server) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.mu.conns))
}

func hostOf(address net.Addr) string {
	if tcp, ok := address.(*net.TCPAddr); ok {
		return tcp.IP.String()
	}
	host, _, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	return host
}
