package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// decodedFactor is how many times its size a request may take when decoded; real ones stay below half of it.
	decodedFactor = 16
	// decodedFactorProduce is the same for Produce, whose record batches stay as they are.
	decodedFactorProduce = 2
	// decodedSlack is what even the smallest request may take when decoded.
	decodedSlack = 4 << 10
	// firstRequestMax bounds a connection's first request, beside the largest record batch: who has not yet sent one
	// valid request gets no more memory than that.
	firstRequestMax = 1 << 20

	produceKey     = int16(kmsg.Produce)
	fetchKey       = int16(kmsg.Fetch)
	apiVersionsKey = int16(kmsg.ApiVersions)
)

var (
	errUnknownAPI = errors.New("request of a kind or version that is not served")
	errMalformed  = errors.New("malformed request")
)

// panicError is what a handler panicked with.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// conn is one client connection. The goroutine that runs serve reads its requests and handles them; answers that are
// not ready when their handler returns go through its queue.
type conn struct {
	server   *server
	net      net.Conn
	number   int64  // in the order in which they came
	host     string // the peer's address without its port
	listener string // the name of the listener that it came in by

	ctx   context.Context // ends when the connection is closed
	calls context.Context // ends then, and when the broker drains
	stop  func()          // ends both

	// The rest is owned by the goroutine that runs serve.

	reader   frameReader
	memory   reservation   // of the request under way
	clientID string        // of the last request
	known    bool          // a valid request has come
	muted    time.Duration // for how long nothing is to be read after the request under way
	answers  answerWriter
	queue    queue
	underWay underWay
	stranded strandedWatch
}

func newConn(s *server, nc net.Conn, host, listener string) *conn {
	c := &conn{server: s, net: nc, host: host, listener: listener}
	ctx, cancel := context.WithCancel(s.ctx)
	calls, cancelCalls := context.WithCancel(s.calls)
	c.ctx, c.calls, c.stop = ctx, calls, func() { cancelCalls(); cancel() }
	c.reader = frameReader{conn: nc, idle: s.limits.Load().idle, draining: &s.draining, received: &s.metrics.receivedBytes,
		awaited: s.memory.large.contended}
	c.answers.init(nc, &s.metrics.sentBytes)
	c.queue.init(c)
	return c
}

// serve handles the connection's requests until it ends, and closes it.
func (c *conn) serve() {
	err := c.requests()
	if errors.Is(err, errDraining) {
		// Requests that were taken are answered before the connection goes.
		if err = c.queue.wait(c.ctx); err == nil {
			err = c.answers.flush()
		}
	}
	c.close()
	c.queue.close()
	if failure := c.queue.failure(); failure != nil {
		err = failure // the reader has only seen that the connection was closed
	}
	c.watchLeaving(time.Now())
	c.server.ended(c, err)
}

// close ends the connection, so that whoever waits on it goes on. It may be called by anyone, more than once.
func (c *conn) close() {
	c.stop()
	_ = c.net.Close() // a second close fails, and that is fine
	c.queue.wake()
}

func (c *conn) requests() error {
	if rest := c.server.broker.connectionRest(c.host); rest > 0 {
		return c.refuseSlowly(rest)
	}
	for {
		if err := c.keepMuted(); err != nil {
			return err
		}
		if !c.reader.whole() {
			if err := c.answers.flushIf(c.queue.empty()); err != nil {
				return err
			}
		}
		if err := c.request(); err != nil {
			return err
		}
	}
}

// request reads one request and handles it.
func (c *conn) request() error {
	p, err := c.reader.next()
	if err != nil {
		return err
	}
	if limit := c.sizeLimit(); p.size > limit {
		return fmt.Errorf("%w: %d bytes, limit %d", errFrameSize, p.size, limit)
	}
	a := c.server.broker.apis.byKey(p.key)
	if a == nil || (p.version < a.min || p.version > a.max) && a.key != apiVersionsKey {
		return fmt.Errorf("%w: key %d version %d", errUnknownAPI, p.key, p.version)
	}
	f, err := c.frame(p)
	c.underWay.begin(p.key)
	defer c.underWay.end()
	defer func() { c.memory.release() }()
	if err != nil {
		return err
	}
	defer f.release()
	started := time.Now()
	if p.version < a.min || p.version > a.max {
		c.known = true
		return c.respond(slot{api: a, started: started, requestBytes: p.size, correlationID: p.correlationID,
			reply: reply{response: unsupportedApiVersions(a)}})
	}
	req, decoded, err := c.decode(a, p, f.bytes, min(decodedAllowance(p), c.memory.budget.limit))
	if err != nil {
		return fmt.Errorf("%w: %s version %d: %w", errMalformed, a.name, p.version, err)
	}
	c.known = true
	c.memory.shrink(int64(p.size) + decoded)
	return c.handle(a, p, req, started)
}

// handle runs the request's handler and sees to its answer.
func (c *conn) handle(a *api, p prologue, req kmsg.Request, started time.Time) error {
	// A produce is appended while earlier ones wait for their sync; anything else sees what they did.
	wait := c.queue.wait
	if a.key == produceKey {
		wait = c.queue.waitForRoom
	}
	if err := wait(c.ctx); err != nil {
		return err
	}
	// It may block for long; a produce does only where it has to enter a transaction.
	produce, ok := req.(*kmsg.ProduceRequest)
	if err := c.answers.flushIf(!ok || produce.TransactionID != nil && c.queue.empty()); err != nil {
		return err
	}
	queued := time.Since(started)
	call := &call{
		ctx: c.calls, key: p.key, version: p.version, correlationID: p.correlationID, bytes: 4 + int64(p.size),
		clientID: c.clientID, clientHost: c.host, listener: c.listener, now: started, memory: &c.memory, underWay: &c.underWay,
	}
	var r reply
	var err error
	if c.server.broker.superseded.finds(c.number, c.server.came.Load(), p.correlationID, req) {
		r.response = lateAnswer(req)
	} else {
		r, err = c.serveAPI(a, call, req)
	}
	if err != nil {
		return fmt.Errorf("%s version %d: %w", a.name, p.version, err)
	}
	c.watchStranded(req, &r, started)
	s := slot{api: a, started: started, queued: queued, handled: time.Now(), requestBytes: p.size, version: p.version,
		correlationID: p.correlationID, reply: r}
	s.parked = call.waited
	if !call.parkedAt.IsZero() {
		s.parked += s.handled.Sub(call.parkedAt)
	}
	c.throttle(call, s.handled.Sub(started)-queued-s.parked, &s.reply)
	return c.respond(s)
}

// serveAPI keeps a handler's panic from anything but its own connection.
func (c *conn) serveAPI(a *api, call *call, req kmsg.Request) (r reply, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	return a.serve(c.server.broker, call, req)
}

// respond sends the answer, or queues it behind those that are not ready.
func (c *conn) respond(s slot) error {
	if r := &s.reply; r.later != nil && r.ready != nil && c.queue.empty() && r.ready() {
		if err := c.queue.resolve(&s); err != nil {
			return err
		}
	}
	if s.reply.later == nil && c.queue.empty() {
		return c.answers.add(s, c.server.metrics)
	}
	if c.queue.empty() {
		// The writer takes over here; what has gathered goes first.
		if err := c.answers.flush(); err != nil {
			return err
		}
	}
	c.queue.push(s)
	return nil
}

// sizeLimit is the most bytes that the next request may have.
func (c *conn) sizeLimit() int32 {
	limits := c.server.limits.Load()
	if c.known {
		return limits.requestBytes
	}
	return limits.firstRequestBytes
}

// decodedAllowance is what a request may take in memory besides its own bytes.
func decodedAllowance(p prologue) int64 {
	factor := int64(decodedFactor)
	if p.key == produceKey {
		factor = decodedFactorProduce
	}
	return factor*int64(p.size) + decodedSlack
}

// frame reads the rest of a request, for which it reserves memory: before a large one is read, and after a small one,
// which lies in the connection's own buffer, has come. So who sends a small one slowly keeps nobody waiting.
func (c *conn) frame(p prologue) (frame, error) {
	size := int(p.size)
	if size > smallRequestMax {
		if err := c.reserve(p); err != nil {
			return frame{}, err
		}
		return c.reader.frame(size)
	}
	f, err := c.reader.frame(size)
	if err == nil {
		err = c.reserve(p)
	}
	return f, err
}

// reserve takes what a request and its decoded form may need. While it waits, no answer is held back.
func (c *conn) reserve(p prologue) error {
	b, bytes := c.server.memory.of(p.size), int64(p.size)+decodedAllowance(p)
	taken, ok := b.tryAcquire(bytes)
	if !ok {
		err := c.answers.flushIf(c.queue.empty())
		if err == nil {
			taken, err = b.acquire(c.calls, bytes)
		}
		if err != nil {
			return err
		}
	}
	c.memory = reservation{budget: b, bytes: taken}
	return nil
}

// decode reads the rest of the header and the body. limit is what the decoded form may take; what it takes is
// returned.
func (c *conn) decode(a *api, p prologue, bytes []byte, limit int64) (kmsg.Request, int64, error) {
	req := a.newRequest()
	req.SetVersion(p.version)
	flexible := req.IsFlexible()
	w := scanner{rest: bytes[prologueBytes-4:], version: p.version, limit: limit}
	if err := c.readClientID(&w); err != nil {
		return nil, 0, err
	}
	w.flexible = flexible
	if flexible {
		if err := w.tags(); err != nil {
			return nil, 0, fmt.Errorf("header: %w", err)
		}
	}
	body := w.rest
	if err := w.request(a.shape); err != nil {
		return nil, 0, err
	}
	if err := req.ReadFrom(body); err != nil {
		return nil, 0, err
	}
	return req, w.decoded, nil
}

// readClientID reads the header's client id. Most connections send the same one each time.
func (c *conn) readClientID(w *scanner) error {
	size, err := w.length(2)
	if err != nil {
		return fmt.Errorf("client id: %w", err)
	}
	id := w.rest
	if err := w.skip(max(size, 0)); err != nil {
		return fmt.Errorf("client id: %w", err)
	}
	if id = id[:max(size, 0)]; string(id) != c.clientID {
		c.clientID = string(id)
	}
	return nil
}
