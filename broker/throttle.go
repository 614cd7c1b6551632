package broker

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/broker/internal/quota"
)

// Client quotas (KIP-13, KIP-124), enforced as Kafka does since KIP-219: who is over its quota is answered at once,
// told for how long to rest, and not read from for as long. Its connection is muted, and nobody else's.
//
// While no quotas are set, all of this costs a look at the image for each request.

// anonymousUser is the user of connections without authentication, by Kafka's name.
const anonymousUser = "ANONYMOUS"

// throttles measures what clients use of their quotas.
type throttles struct {
	meters *quota.Meters
	since  time.Time // when the meters' time began
}

func newThrottles(samples, sampleSeconds int32) *throttles {
	window := quota.Window{Samples: int(samples), Size: time.Duration(sampleSeconds) * time.Second}
	return &throttles{meters: quota.NewMeters(window), since: time.Now()}
}

// now is the time by which the meters count: unlike the clock's it never goes back.
func (t *throttles) now() time.Duration { return time.Since(t.since) }

// quotaOf returns the quota of that kind that counts for the client of c.
func (b *Broker) quotaOf(c *call, kind quota.Kind) (quota.Bound, bool) {
	return b.controller.image().Quotas().Client(kind, anonymousUser, c.clientID)
}

// use charges the client of c with what it has used.
func (b *Broker) use(c *call, kind quota.Kind, amount float64) {
	if bound, ok := b.quotaOf(c, kind); ok {
		c.rests(kind, b.throttles.meters.Use(kind, bound, amount, b.throttles.now()))
	}
}

// mayUse charges the client of c with what it is about to use, and reports false if that would be over its quota.
func (b *Broker) mayUse(c *call, kind quota.Kind, amount float64) bool {
	bound, ok := b.quotaOf(c, kind)
	if !ok {
		return true
	}
	rest := b.throttles.meters.TryUse(kind, bound, amount, b.throttles.now())
	c.rests(kind, rest)
	return rest == 0
}

// useTime charges the client of c with the time that its handler took.
func (b *Broker) useTime(c *call, took time.Duration) {
	const whole = 100 // percent
	if bound, ok := b.quotaOf(c, quota.Request); ok {
		rest := b.throttles.meters.Use(quota.Request, bound, whole*took.Seconds(), b.throttles.now())
		c.rests(quota.Request, min(rest, b.throttles.meters.Sample()))
	}
}

// rest is for how long a client is to send nothing, and which quota says so. The zero value is not at all.
type rest struct {
	kind quota.Kind
	time time.Duration
}

// rests notes that the client of c is to rest. The longest rest counts.
func (c *call) rests(kind quota.Kind, time time.Duration) {
	if time > c.rest.time {
		c.rest = rest{kind, time}
	}
}

// millis is the rest as answers give it: whole milliseconds, rounded up.
func (r rest) millis() int32 {
	return int32(min(math.MaxInt32, (r.time+time.Millisecond-1)/time.Millisecond))
}

// throttle charges the client for the time that the handler of its request took, has the answer say for how long it is to rest, and
// mutes the connection for as long once the request is done with.
func (c *conn) throttle(call *call, took time.Duration, r *reply) {
	broker := c.server.broker
	broker.useTime(call, took)
	if call.rest.time == 0 {
		return
	}
	millis := call.rest.millis()
	r.throttle(millis)
	c.muted = time.Duration(millis) * time.Millisecond
	broker.metrics.throttled[call.rest.kind].Add(int64(c.muted))
}

// throttle has the answer say for how long its client is to rest.
func (r *reply) throttle(millis int32) {
	switch {
	case r.response != nil:
		setThrottle(r.response, millis)
	case r.later != nil:
		later := r.later
		r.later = func(ctx context.Context) kmsg.Response {
			response := later(ctx)
			setThrottle(response, millis)
			return response
		}
	case len(r.body) > 0:
		binary.BigEndian.PutUint32(r.body[0].bytes, uint32(millis)) // what the body of a Fetch begins with
	}
}

func setThrottle(response kmsg.Response, millis int32) {
	if throttled, ok := response.(kmsg.SetThrottleResponse); ok {
		throttled.SetThrottle(millis)
	}
}

// keepMuted returns when the connection may be read again: after the rest of its client, or when the broker drains or
// the connection is closed. Answers that are ready go out first.
func (c *conn) keepMuted() error {
	muted := c.muted
	if c.muted = 0; muted == 0 {
		return nil
	}
	if err := c.answers.flushIf(c.queue.empty()); err != nil {
		return err
	}
	c.server.metrics.muted.Add(1)
	defer c.server.metrics.muted.Add(-1)
	over := time.NewTimer(muted)
	defer over.Stop()
	select {
	case <-over.C:
	case <-c.calls.Done():
	}
	return nil
}
