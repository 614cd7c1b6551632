package engine

import (
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reach watches whether any broker can be reached: none can when a connection was refused and no other one is open. It is a
// hook of the application's clients.
type reach struct {
	changed func(away bool, err error)

	mu struct {
		sync.Mutex
		open map[net.Conn]bool
		away bool
	}
}

func newReach(changed func(away bool, err error)) *reach {
	r := &reach{changed: changed}
	r.mu.open = map[net.Conn]bool{}
	return r
}

// OnBrokerConnect notes a connection, or that there is none.
func (r *reach) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, conn net.Conn, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.mu.open[conn] = true
	}
	if away := err != nil && len(r.mu.open) == 0; away != r.mu.away && (away || err == nil) {
		r.mu.away = away
		r.changed(away, err)
	}
}

// OnBrokerDisconnect notes the end of a connection.
func (r *reach) OnBrokerDisconnect(_ kgo.BrokerMetadata, conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.open, conn)
}

// isAway reports whether no broker can be reached.
func (r *reach) isAway() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.away
}
