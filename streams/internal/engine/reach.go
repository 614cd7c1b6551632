package engine

import (
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// silenceMin is how long no broker has answered when one that refuses connections is taken for a sign that none can be reached.
// A member of a group that can reach one hears from it more often.
const silenceMin = time.Second

// reach watches whether any broker can be reached. It is a hook of the application's clients.
type reach struct {
	changed func(away bool, err error)

	mu struct {
		sync.Mutex
		answered time.Time // when a broker did last
		away     bool
	}
}

func newReach(changed func(away bool, err error)) *reach { return &reach{changed: changed} }

// OnBrokerConnect notes that a broker refuses connections.
func (r *reach) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		return // it may be closed before it has carried an answer
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.mu.away && time.Since(r.mu.answered) >= silenceMin {
		r.mu.away = true
		r.changed(true, err)
	}
}

// OnBrokerRead notes that a broker answers.
func (r *reach) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.answered = time.Now()
	if r.mu.away {
		r.mu.away = false
		r.changed(false, nil)
	}
}

// isAway reports whether no broker can be reached.
func (r *reach) isAway() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.away
}
