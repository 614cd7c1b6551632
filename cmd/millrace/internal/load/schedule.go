package load

import "time"

// Schedule says when records are due at a fixed rate. It does not care whether they are sent in time: who counts a
// record's latency from when it was due, instead of from when it was sent, leaves out none of the waiting that a slow
// broker causes (coordinated omission).
type Schedule struct {
	Rate float64 // records per second; 0: as fast as possible, so each is due when it can be sent
}

// Due is when record n, counted from 0, is due. Without a rate it is now.
func (s Schedule) Due(n int64, now time.Duration) time.Duration {
	if s.Rate == 0 {
		return now
	}
	return time.Duration(float64(n) / s.Rate * float64(time.Second))
}
