package consumer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cutter dials connections of which the ones that carry requests of a kind are cut: before the request is sent, or once its
// answer has come, which nobody gets to see. Requests of the kind fail from then on, until one of another kind mends it.
type cutter struct {
	key, mends kmsg.Key
	lets       bool // the first request through

	mu    sync.Mutex
	times int // how often it is still to happen
	cut   bool
	begun int // how often it has begun
}

var errCut = errors.New("the connection was cut")

func (c *cutter) option() kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &cutConn{Conn: conn, cutter: c}, nil
	})
}

// sees is told of each request, and returns whether it is cut and whether it is sent before.
func (c *cutter) sees(key kmsg.Key) (cut, sent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case key == c.mends:
		c.cut = false
	case key == c.key && c.cut:
		return true, false
	case key == c.key && c.times > 0:
		c.times--
		c.begun++
		c.cut = true
		return true, c.lets
	}
	return false, false
}

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun
}

// cutConn is a connection of a client, which writes a request at a time.
type cutConn struct {
	net.Conn
	cutter *cutter
}

func (c *cutConn) Write(request []byte) (int, error) {
	key := kmsg.Key(binary.BigEndian.Uint16(request[4:]))
	cut, sent := c.cutter.sees(key)
	if !cut {
		return c.Conn.Write(request)
	}
	if sent {
		if _, err := c.Conn.Write(request); err != nil {
			return 0, err
		}
		var answer [4]byte
		_, _ = c.Conn.Read(answer[:])
	}
	c.Conn.Close()
	return 0, errCut
}

// cutting applies a cutter to what a group produces and commits with.
func cutting(t *testing.T, c *cutter) []kgo.Opt {
	t.Helper()
	return []kgo.Opt{c.option(), kgo.RequestRetries(1)}
}
