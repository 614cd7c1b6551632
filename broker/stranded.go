package broker

import (
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// strandedAnswersMin and strandedMin are how often, and for how long, a client asks before it counts as stranded.
	strandedAnswersMin = 4
	strandedMin        = 20 * time.Second
	// strandedEvery is how often one is told of.
	strandedEvery = time.Minute
)

// strandedWatch notices a client that cannot reach the address that it was told: on the connection that it began with,
// it asks again and again for topics that it has been told all about, as librdkafka does, or nothing more until it leaves,
// as Kafka's own client does, while nothing else comes from its host.
//
// Whoever has reached that address has opened another connection, or uses this one for more than that. Tools that ask
// once, or ask for all topics, are left alone, and so are clients that wait for a topic to appear: an alarm that is
// false is worse than none. A host that several clients share (behind a gateway) is quiet as soon as one of them works.
type strandedWatch struct {
	first    time.Time // of the answers; zero: none yet
	answers  int
	arrivals uint64 // connections that the host had opened by then
	settled  bool   // the client works, or was told of
}

// hostConnections are the connections of one host.
type hostConnections struct {
	open     int
	arrivals uint64 // since the last time that there was none
}

// works notes a request that clients send to a broker that they have reached.
func (w *strandedWatch) works() { w.settled = true }

// answered notes a complete answer about topics that the client has named, and reports whether it is stranded. It does
// so once.
func (w *strandedWatch) answered(now time.Time, host hostConnections) bool {
	switch {
	case w.settled:
		return false
	case w.answers == 0:
		w.first, w.arrivals = now, host.arrivals
	case host.open > 1 || host.arrivals != w.arrivals:
		w.settled = true
		return false
	}
	w.answers++
	w.settled = w.answers >= strandedAnswersMin && now.Sub(w.first) >= strandedMin
	return w.settled
}

// left reports whether a client that has gone was stranded and not told of: it stayed for long after its first answer.
func (w *strandedWatch) left(now time.Time, host hostConnections) bool {
	return !w.settled && w.answers > 0 && now.Sub(w.first) >= strandedMin && host.open == 1 && host.arrivals == w.arrivals
}

// watchStranded looks at a request and its answer.
func (c *conn) watchStranded(req kmsg.Request, r *reply, now time.Time) {
	if c.stranded.settled {
		return
	}
	switch kmsg.Key(req.Key()) {
	case kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate, kmsg.DescribeCluster, kmsg.InitProducerID, kmsg.FindCoordinator:
		return // what a client sends to whatever broker it knows, be it the one that it began with
	case kmsg.Metadata:
		if !tellsAll(req, r) {
			return
		}
	default:
		c.stranded.works()
		return
	}
	if c.stranded.answered(now, c.server.hostConnections(c.host)) {
		c.server.tellStranded(c, now)
	}
}

// watchLeaving looks at a connection that ends, and still counts. Those that the broker ends when it stops say nothing.
func (c *conn) watchLeaving(now time.Time) {
	if c.server.calls.Err() == nil && c.stranded.left(now, c.server.hostConnections(c.host)) {
		c.server.tellStranded(c, now)
	}
}

// tellsAll reports whether an answer about topics that were named leaves nothing to ask for.
func tellsAll(req kmsg.Request, r *reply) bool {
	request, ok := req.(*kmsg.MetadataRequest)
	if !ok || len(request.Topics) == 0 {
		return false
	}
	response, ok := r.response.(*kmsg.MetadataResponse)
	if !ok {
		return false
	}
	for i := range response.Topics {
		if response.Topics[i].ErrorCode != 0 {
			return false
		}
	}
	return true
}

// hostConnections is what is known of a host that has a connection.
func (s *server) hostConnections(host string) hostConnections {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.perHost[host]
}

// tellStranded says what to look at, at most once every strandedEvery.
func (s *server) tellStranded(c *conn, now time.Time) {
	last := s.strandedToldMs.Load()
	if now.UnixMilli()-last < strandedEvery.Milliseconds() || !s.strandedToldMs.CompareAndSwap(last, now.UnixMilli()) {
		return
	}
	host, port := s.broker.advertised(c.listener)
	s.logger.log(slog.LevelWarn, "a client asks for metadata and does not come back by the address that it is told; "+
		"if it cannot reach that, change advertised.listeners",
		"client", c.host, "client_id", c.clientID, "listener", c.listener, "told", net.JoinHostPort(host, strconv.Itoa(int(port))))
}
