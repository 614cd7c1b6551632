// Package fetchsession remembers what each consumer fetches, so that a consumer of many partitions need not repeat
// the list, and is told only of those with news (KIP-227). It is pure: time and random numbers are arguments.
package fetchsession

import "strings"

// Key names a partition as the client does: by topic name before version 13, by topic id from then on (KIP-516).
type Key struct {
	Topic string   // "" if ID is used
	ID    [16]byte // zero if Topic is used
	Index int32
}

// Partition is what a client wants of one partition.
type Partition struct {
	Key
	Name               string // the topic's name where it is known; "" otherwise
	FetchOffset        int64
	MaxBytes           int32
	CurrentLeaderEpoch int32 // -1: not checked
	LastFetchedEpoch   int32 // -1: not checked
}

// Result is what a fetch found for one partition, as far as it decides whether the client has to be told.
type Result struct {
	HighWatermark int64
	LogStart      int64
	Bytes         int
	Failed        bool // an error code, or a diverging epoch
}

// unknownNumber stands for what the client was not told, or has to be told again.
const unknownNumber = -1

// entry is a partition of a session, with what its client was last told.
type entry struct {
	Partition
	highWatermark int64
	logStart      int64
	served        bool // by the response in the making
}

// session is the list of one client.
type session struct {
	id         int32
	epoch      int32 // that the next request must carry
	usesIDs    bool
	entries    []entry // in the order of service
	spare      []entry // the other buffer of rotateServed
	index      map[Key]int
	order      int // counts the changes of entries' order
	createdMs  int64
	lastUsedMs int64
}

// Epochs of requests (KIP-227).
const (
	initialEpoch = 0  // make a session if possible
	finalEpoch   = -1 // no session, or the end of one
)

// nextEpoch is the epoch after e; it stays positive.
func nextEpoch(e int32) int32 {
	if next := e + 1; next > 0 {
		return next
	}
	return 1
}

func (s *session) set(p Partition) {
	if i, ok := s.index[p.Key]; ok {
		known := s.entries[i].Partition
		p.Key, p.Name = known.Key, known.Name
		s.entries[i].Partition = p
		return
	}
	p.Topic = strings.Clone(p.Topic) // the request's memory is not ours
	s.order++
	s.index[p.Key] = len(s.entries)
	s.entries = append(s.entries, entry{Partition: p, highWatermark: unknownNumber, logStart: unknownNumber})
}

// forget removes partitions, and keeps the order of the others.
func (s *session) forget(keys []Key) {
	gone := 0
	for _, k := range keys {
		if _, ok := s.index[k]; ok {
			delete(s.index, k)
			gone++
		}
	}
	if gone == 0 {
		return
	}
	s.order++
	kept := s.entries[:0]
	for _, e := range s.entries {
		if _, ok := s.index[e.Key]; ok {
			s.index[e.Key] = len(kept)
			kept = append(kept, e)
		}
	}
	clear(s.entries[len(kept):])
	s.entries = kept
}

// tell notes what the client is about to be told of a partition, and says whether that is anything new.
func (e *entry) tell(r Result) (news bool) {
	news = r.Bytes > 0 || r.Failed || e.highWatermark != r.HighWatermark || e.logStart != r.LogStart
	e.highWatermark, e.logStart, e.served = r.HighWatermark, r.LogStart, r.Bytes > 0
	if r.Failed {
		// Once the error has gone, the client must hear of it even if nothing else has changed.
		e.highWatermark = unknownNumber
	}
	return news
}

// position finds where the i-th partition of a fetch is now, -1 if it was forgotten meanwhile.
func (s *session) position(f *Fetch, i int) int {
	if s.order == f.order {
		return i
	}
	if position, ok := s.index[f.Partitions[i].Key]; ok {
		return position
	}
	return -1
}

// rotateServed moves the partitions that were served to the end, so that those which a full response left out come
// first the next time.
func (s *session) rotateServed() {
	served := 0
	for i := range s.entries {
		if s.entries[i].served {
			served++
		}
	}
	if served > 0 && served < len(s.entries) {
		rotated := s.spare[:0]
		for _, wanted := range []bool{false, true} {
			for _, e := range s.entries {
				if e.served == wanted {
					rotated = append(rotated, e)
				}
			}
		}
		s.entries, s.spare = rotated, s.entries
		s.order++
		for i := range s.entries {
			s.index[s.entries[i].Key] = i
		}
	}
	for i := range s.entries {
		s.entries[i].served = false
	}
}
