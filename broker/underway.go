package broker

import "sync/atomic"

// underWay says what a connection's reader is at, for whoever scrapes. Its methods are safe for concurrent use.
type underWay struct{ state atomic.Int32 } // 0: nothing; else the key + 1, below 0 while it waits

func (u *underWay) begin(key int16) { u.state.Store(int32(key) + 1) }

// park notes that the request waits for something to happen.
func (u *underWay) park() {
	if state := u.state.Load(); state > 0 {
		u.state.Store(-state)
	}
}

func (u *underWay) end() { u.state.Store(0) }

// request returns the kind of request that is under way; ok is false if there is none.
func (u *underWay) request() (key int16, parked, ok bool) {
	state := u.state.Load()
	return int16(max(state, -state) - 1), state < 0, state != 0
}

// apiCounts are numbers of requests by their key.
type apiCounts [apiKeyMax + 1]int

// underWay counts the requests of all connections: those that were read and not yet answered, and of them those that
// wait for something to happen. It looks at each connection once.
func (s *server) underWay() (inFlight, parked apiCounts) {
	for _, c := range s.open() {
		if key, waits, ok := c.underWay.request(); ok {
			inFlight[key]++
			if waits {
				parked[key]++
			}
		}
		later := c.queue.inFlightNow() // only Produce waits there
		inFlight[produceKey] += later
		parked[produceKey] += later
	}
	return inFlight, parked
}
