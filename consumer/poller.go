package consumer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// poller is the goroutine that waits for records, one poll at a time, so that the goroutine of Run can wait for other things
// too, and can have the polling stand still while partitions come, go and are rewound: records that were polled before such a
// change never arrive after it.
type poller struct {
	client  *kgo.Client
	asks    chan context.Context
	answers chan kgo.Fetches
	cancel  context.CancelFunc // of the poll under way; nil: none is
	done    chan struct{}
}

func newPoller(client *kgo.Client) *poller {
	p := &poller{client: client, asks: make(chan context.Context, 1), answers: make(chan kgo.Fetches, 1), done: make(chan struct{})}
	go p.run()
	return p
}

func (p *poller) run() {
	defer close(p.done)
	for ctx := range p.asks {
		p.answers <- p.client.PollFetches(ctx)
	}
}

// begin polls, unless that is under way. Whoever receives from answers calls arrived.
func (p *poller) begin() {
	if p.cancel == nil {
		var ctx context.Context
		ctx, p.cancel = context.WithCancel(context.Background())
		p.asks <- ctx
	}
}

func (p *poller) arrived() {
	p.cancel()
	p.cancel = nil
}

// stop ends the poll that is under way and returns what it brought.
func (p *poller) stop() kgo.Fetches {
	if p.cancel == nil {
		return nil
	}
	p.cancel()
	fetches := <-p.answers
	p.cancel = nil
	return fetches
}

// end ends the goroutine and waits for it.
func (p *poller) end() {
	p.stop()
	close(p.asks)
	<-p.done
}
