package broker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/log"
)

// call is one request on its way through a handler.
// The request's byte slices are views of the connection's frame: a handler that keeps bytes after it has returned
// copies them.
type call struct {
	ctx           context.Context // ends when the connection closes or the broker stops
	key           int16
	version       int16
	correlationID int32
	bytes         int64 // size of the request on the wire
	clientID      string
	clientHost    string // the peer's address without its port
	listener      string // name of the listener that the connection came in by
	now           time.Time
	memory        *reservation  // what is reserved for the request; nil: nothing
	underWay      *underWay     // nil: nobody asks
	parkedAt      time.Time     // when it began to wait; zero: it did not
	waited        time.Duration // for the transaction coordinator, before it went on
	rest          rest          // what quotas have the client do
}

// park gives the request's memory back before its handler waits for something that only other requests, or a long
// time, will bring: those requests must find room.
func (c *call) park() {
	if c.memory != nil {
		c.memory.release()
	}
	if c.underWay != nil {
		c.underWay.park()
	}
	c.parkedAt = time.Now()
}

// reply is what a handler hands to the connection's writer. At most one field is set; none means that the client
// expects no answer (Produce with acks=0).
type reply struct {
	// response is ready to be encoded.
	response kmsg.Response
	// later is run by the connection's writer when its turn has come; it may block until ctx ends, so that the reader
	// goes on with the next request meanwhile (a produce that waits for its sync).
	later func(ctx context.Context) kmsg.Response
	// ready, if set beside later, reports whether later would return at once: the writer then gathers its answer with
	// others instead of sending what it has before it waits.
	ready func() bool
	// body is an encoded response body with ranges of segment files between its bytes (Fetch).
	body []piece
}

// piece is a part of an encoded response: bytes, or a range of a segment file that goes out by sendfile.
type piece struct {
	bytes []byte
	file  *log.Range // the writer releases it
}

// release gives up the ranges of the reply.
func (r *reply) release() {
	for i := range r.body {
		if r.body[i].file != nil {
			r.body[i].file.Release()
		}
	}
	r.body = nil
}
