package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/broker/internal/quota"
)

var errConnectionRate = errors.New("address connects more often than its quota allows")

// connectionRest is for how long a connection is held before it is closed because its address has opened too many
// (KIP-612); 0: it is served.
func (b *Broker) connectionRest(host string) time.Duration {
	bound, ok := b.controller.image().Quotas().Address(quota.Connection, host)
	if !ok {
		return 0
	}
	return b.throttles.meters.TryUse(quota.Connection, bound, 1, b.throttles.now())
}

// refuseSlowly holds the connection for a while, so that who tries again at once gains nothing by it, and returns why
// it is then closed.
func (c *conn) refuseSlowly(rest time.Duration) error {
	c.server.metrics.rejected(rejectedRate)
	c.server.metrics.throttled[quota.Connection].Add(int64(rest))
	c.muted = rest
	return errors.Join(c.keepMuted(), fmt.Errorf("%w: %s", errConnectionRate, c.host))
}
