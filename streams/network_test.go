package streams_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// network is the connections of one App, on which a fault happens at one request.
type network struct {
	mu      sync.Mutex
	fault   fault
	seen    int      // requests of the fault's kind
	struck  bool     // the fault has begun to happen
	down    bool     // nothing gets through any more
	lost    kmsg.Key // requests of this kind cut their connection; 0 (Produce) and less: none
	conns   map[net.Conn]bool
	struckc chan struct{} // closed when it has happened
}

// fault is what happens at the n-th request of a kind, from 1.
type fault struct {
	key   kmsg.Key
	n     int
	sent  bool // the request is sent, and its answer lost; otherwise it is not even sent
	crash bool // nothing gets through any more
}

var errFault = errors.New("the connection was cut")

func newNetwork(f fault) *network {
	return &network{fault: f, conns: map[net.Conn]bool{}, struckc: make(chan struct{})}
}

func (n *network) option() kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		n.mu.Lock()
		down := n.down
		n.mu.Unlock()
		if down {
			return nil, errFault
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.conns[conn] = true
		return &faultConn{Conn: conn, network: n}, nil
	})
}

// strikes reports whether the fault happens at a request.
func (n *network) strikes(key kmsg.Key) (cut, sent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down || n.lost > 0 && key == n.lost {
		return true, false
	}
	if key != n.fault.key || n.struck {
		return false, false
	}
	if n.seen++; n.seen < n.fault.n {
		return false, false
	}
	n.struck = true
	return true, n.fault.sent
}

// strike is the fault's end: of one connection, or of all.
func (n *network) strike() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault.crash {
		n.takeDownLocked()
	}
	select {
	case <-n.struckc:
	default:
		if n.struck {
			close(n.struckc)
		}
	}
}

func (n *network) takeDownLocked() {
	n.down = true
	for conn := range n.conns {
		conn.Close()
	}
}

// lose cuts the connection of each request of a kind; -1 ends that.
func (n *network) lose(key kmsg.Key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = key
}

// takeDown lets nothing through any more.
func (n *network) takeDown() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.takeDownLocked()
}

// faultConn is a connection of a client, which writes a request at a time.
type faultConn struct {
	net.Conn
	network *network
	doomed  atomic.Bool // the next answer is lost, and the connection with it
}

func (c *faultConn) Write(request []byte) (int, error) {
	cut, sent := c.network.strikes(kmsg.Key(binary.BigEndian.Uint16(request[4:])))
	switch {
	case !cut:
		return c.Conn.Write(request)
	case sent:
		c.doomed.Store(true)
		return c.Conn.Write(request)
	}
	c.Conn.Close()
	c.network.strike()
	return 0, errFault
}

func (c *faultConn) Read(answer []byte) (int, error) {
	n, err := c.Conn.Read(answer)
	if !c.doomed.Load() {
		return n, err
	}
	c.Conn.Close()
	c.network.strike()
	return 0, errFault
}
