// Package memnet is a network within the process: listeners and connections that behave as TCP's do and need no
// socket. Everything in it blocks on sync.Cond and channels and takes time from package time, so that it works within
// a testing/synctest bubble as long as the Network was made in there.
package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
)

const (
	backlogMax         = 128   // connections that wait to be accepted
	firstEphemeralPort = 32768 // of listeners on port 0 and of dialing ends
	lastPort           = 65535
)

// Network connects the listeners and dialers that share it. It is safe for concurrent use.
type Network struct {
	mu struct {
		sync.Mutex
		listeners map[netip.AddrPort]*listener
		nextPort  uint16
	}
}

// New returns a network where nobody listens.
func New() *Network {
	n := &Network{}
	n.mu.listeners = map[netip.AddrPort]*listener{}
	n.mu.nextPort = firstEphemeralPort
	return n
}

// Listen listens on address, a host:port. The host is an IP address or localhost; port 0 takes a free one.
// A listener on an unspecified address (0.0.0.0, or no host) takes what is dialed to any address.
// It fails with syscall.EADDRINUSE if somebody listens there.
func (n *Network) Listen(address string) (net.Listener, error) {
	at, err := resolve(address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port() == 0 {
		at = netip.AddrPortFrom(at.Addr(), n.freePortLocked(at.Addr()))
	}
	if n.mu.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: syscall.EADDRINUSE}
	}
	l := &listener{
		network: n,
		address: at,
		backlog: make(chan *conn, backlogMax),
		closed:  make(chan struct{}),
	}
	n.mu.listeners[at] = l
	return l, nil
}

func (n *Network) freePortLocked(host netip.Addr) uint16 {
	for {
		port := n.portLocked()
		if n.mu.listeners[netip.AddrPortFrom(host, port)] == nil {
			return port
		}
	}
}

func (n *Network) portLocked() uint16 {
	port := n.mu.nextPort
	if n.mu.nextPort++; port == lastPort {
		n.mu.nextPort = firstEphemeralPort
	}
	return port
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Dial connects to address from 127.0.0.1. The name of the network is ignored, which makes Dial fit where a
// net.Dialer's DialContext does. It blocks while the listener's backlog is full, until ctx ends, and fails with
// syscall.ECONNREFUSED if nobody listens.
func (n *Network) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	return n.DialFrom(ctx, loopback, address)
}

// DialFrom is Dial from another address than 127.0.0.1.
func (n *Network) DialFrom(ctx context.Context, from netip.Addr, address string) (net.Conn, error) {
	at, err := resolve(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	failed := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: err}
	}
	n.mu.Lock()
	l := n.mu.listeners[at]
	if l == nil {
		l = n.mu.listeners[netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())]
	}
	local := netip.AddrPortFrom(from, n.portLocked())
	n.mu.Unlock()
	if l == nil {
		return nil, failed(syscall.ECONNREFUSED)
	}
	near, far := pair(local, at)
	select {
	case <-ctx.Done():
		return nil, failed(ctx.Err())
	default:
	}
	if err := l.offer(ctx, far); err != nil {
		return nil, failed(err)
	}
	return near, nil
}

func resolve(address string) (netip.AddrPort, error) {
	host, portName, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(portName, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port of %q: %w", address, err)
	}
	ip := loopback
	switch host {
	case "localhost":
	case "", "0.0.0.0", "::":
		ip = netip.IPv4Unspecified()
	default:
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), nil
}

type listener struct {
	network *Network
	address netip.AddrPort
	backlog chan *conn
	closed  chan struct{}
	closing sync.Once
}

// offer hands the far end of a new connection to Accept.
func (l *listener) offer(ctx context.Context, c *conn) error {
	select {
	case l.backlog <- c:
	case <-l.closed:
		return syscall.ECONNREFUSED
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-l.closed:
		// The listener may have emptied its backlog before c got into it.
		l.refuseBacklog()
	default:
	}
	return nil
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.closedError("accept")
	default:
	}
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, l.closedError("accept")
	}
}

// Close ends Accept and resets the connections that were not accepted. Accepted ones live on.
func (l *listener) Close() error {
	err := l.closedError("close")
	l.closing.Do(func() {
		err = nil
		l.network.mu.Lock()
		delete(l.network.mu.listeners, l.address)
		l.network.mu.Unlock()
		close(l.closed)
		l.refuseBacklog()
	})
	return err
}

func (l *listener) refuseBacklog() {
	for {
		select {
		case c := <-l.backlog:
			c.reset()
		default:
			return
		}
	}
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.address) }

func (l *listener) closedError(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}
