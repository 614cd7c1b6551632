// Package clicks is the demo's subject: a deterministic stream of clicks, and the ledger that says
// exactly what became of each.
package clicks

import (
	"bytes"
	"math/rand/v2"
	"strconv"
)

// Stream is a sequence of clicks: the same seed gives the same bytes, on any machine, in any order
// of asking.
type Stream struct{ Seed uint64 }

const (
	users = 5_000
	pages = 400
	// millisBetween is the time between two clicks in the stream's own, made-up time.
	millisBetween = 4
	firstMs       = 1_760_000_000_000
)

var actions = [...]string{"view", "view", "view", "view", "search", "cart", "buy"}

const idPrefix = `{"id":`

// Append appends the value of click id to dst: one JSON object that begins with the id.
func (s Stream) Append(dst []byte, id int64) []byte {
	random := rand.New(rand.NewPCG(s.Seed, uint64(id)))
	user := random.IntN(users)
	// The cube makes a few pages popular and most of them rare.
	skew := random.Float64()
	page := int(skew * skew * skew * pages)
	action := actions[random.IntN(len(actions))]
	dst = strconv.AppendInt(append(dst, idPrefix...), id, 10)
	dst = strconv.AppendInt(append(dst, `,"user":"u`...), int64(user), 10)
	dst = strconv.AppendInt(append(dst, `","page":"/page/`...), int64(page), 10)
	dst = append(append(dst, `","action":"`...), action...)
	dst = strconv.AppendInt(append(dst, `","time":`...), firstMs+id*millisBetween, 10)
	return append(dst, '}')
}

// Key returns the part of a value that decides about its partition: the user.
func Key(value []byte) []byte {
	_, rest, _ := bytes.Cut(value, []byte(`"user":"`))
	user, _, _ := bytes.Cut(rest, []byte(`"`))
	return user
}

// ID returns the id that a value begins with, and whether it begins with one.
func ID(value []byte) (int64, bool) {
	rest, found := bytes.CutPrefix(value, []byte(idPrefix))
	digits, _, comma := bytes.Cut(rest, []byte(","))
	if !found || !comma {
		return 0, false
	}
	id, err := strconv.ParseInt(string(digits), 10, 64)
	return id, err == nil && id >= 0
}
