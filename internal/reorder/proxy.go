package reorder

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// lateAnswerMax is how long the proxy waits for the answer to something late before what comes next goes on.
const lateAnswerMax = 10 * time.Second

// Proxy passes connections on to a broker. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	dial     func(context.Context) (net.Conn, error)
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
	mu       struct {
		sync.Mutex
		schedule    *Schedule
		connections []*connection // by number
		delivered   []Delivery
	}
}

// Delivery is a late request that the broker was given.
type Delivery struct {
	Late
	Answer []byte // from its length on; empty if Err is set
	Err    error  // the broker did not answer, or the connection was gone
}

// Start accepts connections of listener, which it owns from now on, and connects each to what dial reaches. Close ends it.
func Start(listener net.Listener, dial func(context.Context) (net.Conn, error), schedule *Schedule) *Proxy {
	p := &Proxy{listener: listener, dial: dial}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.mu.schedule = schedule
	p.running.Go(p.accept)
	return p
}

// Close cuts all connections and returns when nothing of the proxy runs any more. What is still late is lost.
func (p *Proxy) Close() {
	p.cancel()
	_ = p.listener.Close()
	p.mu.Lock()
	open := slices.Clone(p.mu.connections)
	p.mu.Unlock()
	for _, c := range open {
		c.close()
	}
	p.running.Wait()
}

// DeliverRest gives the broker all that is late, and returns when it was answered.
func (p *Proxy) DeliverRest() {
	p.mu.Lock()
	due := p.mu.schedule.Rest()
	p.mu.Unlock()
	p.deliver(due)
}

// Delivered returns what was late and has been delivered so far, in order.
func (p *Proxy) Delivered() []Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mu.delivered)
}

// Count is how many subjects of the schedule have come.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.schedule.Count()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		broker, err := p.dial(p.ctx)
		if err != nil { // the client sees what it would see without a proxy
			_ = client.Close()
			continue
		}
		c := newConnection(client, broker)
		if p.add(c); p.ctx.Err() != nil {
			c.close()
		}
		p.running.Go(func() { p.requests(c) })
		p.running.Go(c.answers)
	}
}

func (p *Proxy) add(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.number = len(p.mu.connections)
	p.mu.connections = append(p.mu.connections, c)
}

// requests takes the requests of a connection until one ends it.
func (p *Proxy) requests(c *connection) {
	for {
		frame, err := readFrame(c.client)
		if err != nil {
			c.close()
			return
		}
		request, err := parse(c.number, frame)
		if err != nil {
			c.close()
			return
		}
		p.mu.Lock()
		due, fate := p.mu.schedule.Step(request)
		p.mu.Unlock()
		p.deliver(due)
		switch fate.Kind {
		case Held:
			_ = c.client.Close() // the way to the broker stays open for it
			return
		case Unanswered:
			c.cutAt(request.Correlation)
		}
		if _, err := c.broker.Write(frame); err != nil {
			c.close()
			return
		}
	}
}

// deliver gives the broker late requests, one after the other.
func (p *Proxy) deliver(due []Late) {
	for _, late := range due {
		answer, err := p.send(late)
		p.mu.Lock()
		p.mu.delivered = append(p.mu.delivered, Delivery{late, answer, err})
		p.mu.Unlock()
	}
}

func (p *Proxy) send(late Late) ([]byte, error) {
	if late.Kind == Held {
		p.mu.Lock()
		c := p.mu.connections[late.Request.Connection]
		p.mu.Unlock()
		defer c.close()
		return c.ask(p.ctx, late.Request)
	}
	conn, err := p.dial(p.ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(p.ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(lateAnswerMax)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(late.Request.Frame); err != nil {
		return nil, err
	}
	return readFrame(conn)
}
