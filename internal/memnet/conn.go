package memnet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferBytes is what a direction holds before a writer blocks, as a socket buffer does.
const bufferBytes = 64 << 10

// conn is one end of a connection.
type conn struct {
	local, remote netip.AddrPort
	in, out       *stream
}

// pair returns the two ends of a new connection.
func pair(near, far netip.AddrPort) (*conn, *conn) {
	there, back := newStream(), newStream()
	return &conn{local: near, remote: far, in: back, out: there},
		&conn{local: far, remote: near, in: there, out: back}
}

func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil && err != io.EOF {
		err = c.error("read", err)
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = c.error("write", err)
	}
	return n, err
}

// Close ends both directions. The other end still reads what was written; but if something was not read at this end,
// the connection is reset, as TCP does.
func (c *conn) Close() error {
	unread, err := c.in.closeReader()
	if err != nil {
		return c.error("close", err)
	}
	c.out.closeWriter()
	if unread {
		c.out.reset()
	}
	return nil
}

// CloseWrite ends the direction to the other end, which reads io.EOF after what was written.
func (c *conn) CloseWrite() error {
	c.out.endWriter()
	return nil
}

// reset ends both directions at once, for both ends.
func (c *conn) reset() {
	c.in.reset()
	c.out.reset()
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	if !c.in.setDeadline(&c.in.mu.reader, t) {
		return c.error("set", net.ErrClosed)
	}
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if !c.out.setDeadline(&c.out.mu.writer, t) {
		return c.error("set", net.ErrClosed)
	}
	return nil
}

func (c *conn) error(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// stream is one direction of a connection.
type stream struct {
	changed *sync.Cond // on mu

	mu struct {
		sync.Mutex
		buffer []byte // what lies from start on is written and not yet read
		start  int
		ended  bool  // nothing more will be written: the reader gets io.EOF after the buffer
		failed error // the connection was reset
		reader end
		writer end
	}
}

// end is one side of a stream.
type end struct {
	closed  bool
	expired bool // its deadline has passed
	timer   *time.Timer
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.mu.reader.closed:
			return 0, net.ErrClosed
		case s.mu.failed != nil:
			return 0, s.mu.failed
		case s.mu.reader.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case s.unreadLocked() > 0:
			n := copy(p, s.mu.buffer[s.mu.start:])
			if s.mu.start += n; s.unreadLocked() == 0 {
				s.mu.buffer, s.mu.start = s.mu.buffer[:0], 0
			}
			s.changed.Broadcast()
			return n, nil
		case s.mu.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (written int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.mu.writer.closed:
			return written, net.ErrClosed
		case s.mu.failed != nil:
			return written, s.mu.failed
		case s.mu.reader.closed || s.mu.ended:
			return written, syscall.EPIPE
		case s.mu.writer.expired:
			return written, os.ErrDeadlineExceeded
		case len(p) == 0:
			return written, nil
		}
		if n := min(len(p), bufferBytes-s.unreadLocked()); n > 0 {
			if len(s.mu.buffer)+n > bufferBytes {
				s.mu.buffer, s.mu.start = s.mu.buffer[:copy(s.mu.buffer, s.mu.buffer[s.mu.start:])], 0
			}
			s.mu.buffer = append(s.mu.buffer, p[:n]...)
			p, written = p[n:], written+n
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

func (s *stream) unreadLocked() int { return len(s.mu.buffer) - s.mu.start }

func (s *stream) dropLocked() { s.mu.buffer, s.mu.start = nil, 0 }

// closeReader says whether something was left unread, which resets the stream. It fails if the reader is closed already.
func (s *stream) closeReader() (unread bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.reader.closed {
		return false, net.ErrClosed
	}
	s.mu.reader.close()
	if unread = s.unreadLocked() > 0; unread {
		s.mu.failed = syscall.ECONNRESET
	}
	s.dropLocked()
	s.changed.Broadcast()
	return unread, nil
}

func (s *stream) closeWriter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.writer.close()
	s.mu.ended = true
	s.changed.Broadcast()
}

func (s *stream) endWriter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.ended = true
	s.changed.Broadcast()
}

func (s *stream) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.failed = syscall.ECONNRESET
	s.dropLocked()
	s.changed.Broadcast()
}

func (e *end) close() {
	e.closed = true
	if e.timer != nil {
		e.timer.Stop()
	}
}

// setDeadline sets the deadline of e, an end of s; the zero time removes it. It returns false if e is closed.
func (s *stream) setDeadline(e *end, t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.closed {
		return false
	}
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	wait := time.Until(t)
	e.expired = !t.IsZero() && wait <= 0
	if e.expired {
		s.changed.Broadcast()
	}
	if t.IsZero() || e.expired {
		return true
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if e.timer == timer { // else this deadline was replaced while it passed
			e.expired = true
			s.changed.Broadcast()
		}
	})
	e.timer = timer
	return true
}
