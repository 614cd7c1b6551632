package reorder

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// connection is a client's connection and the one to the broker that belongs to it.
type connection struct {
	number         int
	client, broker net.Conn
	ended          chan struct{} // closed when the broker's answers have ended
	mu             struct {
		sync.Mutex
		cut   map[int32]bool        // correlation ids whose answers end the connection
		asked map[int32]chan []byte // answers that the proxy itself waits for
	}
}

func newConnection(client, broker net.Conn) *connection {
	c := &connection{client: client, broker: broker, ended: make(chan struct{})}
	c.mu.cut, c.mu.asked = map[int32]bool{}, map[int32]chan []byte{}
	return c
}

func (c *connection) close() {
	_ = c.client.Close()
	_ = c.broker.Close()
}

// answers passes answers on until the broker's connection ends. A client that is gone misses them.
func (c *connection) answers() {
	defer close(c.ended)
	defer c.close()
	for {
		answer, err := readFrame(c.broker)
		if err != nil {
			return
		}
		id, ok := correlationOf(answer)
		cut, asked := c.take(id)
		switch {
		case !ok || cut:
			return
		case asked != nil:
			asked <- answer
		default:
			_, _ = c.client.Write(answer)
		}
	}
}

func (c *connection) take(correlation int32) (cut bool, asked chan []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cut, asked = c.mu.cut[correlation], c.mu.asked[correlation]
	delete(c.mu.asked, correlation)
	return cut, asked
}

// cutAt ends the connection when the request with this correlation id is answered.
func (c *connection) cutAt(correlation int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.cut[correlation] = true
}

// ask sends a request of the client's in its place and returns the answer.
func (c *connection) ask(ctx context.Context, r Request) ([]byte, error) {
	answer := make(chan []byte, 1)
	c.mu.Lock()
	c.mu.asked[r.Correlation] = answer
	c.mu.Unlock()
	if _, err := c.broker.Write(r.Frame); err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-c.ended:
		return nil, fmt.Errorf("no answer to %v: %w", r, net.ErrClosed)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(lateAnswerMax):
		return nil, fmt.Errorf("no answer to %v within %v", r, lateAnswerMax)
	}
}
