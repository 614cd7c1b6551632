// Package clicks makes up the click stream of a web shop, for the demo and the examples.
package clicks

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// Click is a visitor's click.
type Click struct {
	ID     int64  `json:"id"` // its place in the stream
	User   string `json:"user"`
	Page   string `json:"page"`
	Action string `json:"action"` // view, search, cart or buy
	TimeMs int64  `json:"time"`   // when it happened, in the stream's own time
}

// Stream is a sequence of clicks: the same Stream gives the same clicks, on any machine, in any order of asking. A click's
// place says when it arrives; it happened a little earlier, and a late one much earlier.
type Stream struct {
	Seed        uint64
	Users       int           // how many visitors there are; at least 1
	Every       time.Duration // of the stream's own time between two arrivals; at least 1 ms
	Jitter      time.Duration // a click arrives less than this after it happened, 0: at once
	LatePercent int           // of the clicks that arrive later still
	Delay       time.Duration // how much later at most
}

// FirstMs is when the stream begins in its own time: 2025-10-09, 08:00 UTC.
const FirstMs = 1_759_996_800_000

const pages = 400

var actions = [...]string{"view", "view", "view", "view", "search", "cart", "buy"}

// Click returns click id, counted from 0.
func (s Stream) Click(id int64) Click {
	random := rand.New(rand.NewPCG(s.Seed, uint64(id)))
	c := Click{ID: id, User: User(random.IntN(s.Users)), TimeMs: FirstMs + id*s.Every.Milliseconds()}
	// The cube makes a few pages popular and most of them rare.
	skew := random.Float64()
	c.Page = "/page/" + strconv.Itoa(int(skew*skew*skew*pages))
	c.Action = actions[random.IntN(len(actions))]
	if s.Jitter > 0 {
		c.TimeMs -= random.Int64N(s.Jitter.Milliseconds())
	}
	if random.IntN(100) < s.LatePercent {
		c.TimeMs -= random.Int64N(s.Delay.Milliseconds())
	}
	return c
}

// User returns the name of a visitor, counted from 0.
func User(number int) string { return "u" + strconv.Itoa(number) }

// Append appends the click to dst as JSON, and costs less than a Marshal.
func (c Click) Append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `{"id":`...), c.ID, 10)
	dst = append(append(dst, `,"user":"`...), c.User...)
	dst = append(append(dst, `","page":"`...), c.Page...)
	dst = append(append(dst, `","action":"`...), c.Action...)
	dst = strconv.AppendInt(append(dst, `","time":`...), c.TimeMs, 10)
	return append(dst, '}')
}

// Time returns when the click happened.
func (c Click) Time() time.Time { return time.UnixMilli(c.TimeMs) }
