package clicks

import (
	"bytes"
	"sync"
)

// Ledger compares what was acknowledged with what was delivered, by identity: a click has an id, a
// stored record has a partition and an offset. A click that is stored in two places is a duplicate;
// the same place delivered twice is a redelivery, which a group allows after a crash.
// It takes 9 bytes per click of the stream. Safe for concurrent use.
type Ledger struct {
	stream Stream
	count  int64

	mu struct {
		sync.Mutex
		places  []place // by id
		acked   []bool
		tally   Tally
		order   map[int32]placed
		next    map[int32]int64
		scratch []byte
	}
}

// place is where a click was first seen: its partition and offset, plus one so that zero is nowhere.
type place uint64

const offsetBits = 48

func placeOf(partition int32, offset int64) place {
	return place(uint64(partition)<<offsetBits|uint64(offset)) + 1
}

// placed is the last click of a partition in the order of offsets.
type placed struct{ offset, id int64 }

// Tally is what the ledger found.
type Tally struct {
	Sent        int64 // acknowledged by the broker
	Received    int64 // different clicks delivered
	Lost        int64 // acknowledged and never delivered
	Duplicated  int64 // stored in a second place
	Redelivered int64 // delivered again from the same place
	Altered     int64 // delivered with other bytes than sent, or with an id never sent
	Reordered   int64 // stored behind a later click of the same partition
}

// Exact reports whether every acknowledged click was delivered as sent, stored once and in order.
func (t Tally) Exact() bool {
	return t.Lost == 0 && t.Duplicated == 0 && t.Altered == 0 && t.Reordered == 0 && t.Sent == t.Received
}

// NewLedger returns a ledger for the clicks [0, count) of stream.
func NewLedger(stream Stream, count int64) *Ledger {
	l := &Ledger{stream: stream, count: count}
	l.mu.places, l.mu.acked = make([]place, count), make([]bool, count)
	l.mu.order, l.mu.next = map[int32]placed{}, map[int32]int64{}
	return l
}

// Acknowledged notes that the broker took click id.
func (l *Ledger) Acknowledged(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mu.acked[id] {
		l.mu.acked[id] = true
		l.mu.tally.Sent++
	}
}

// Delivered notes a record that the group got.
func (l *Ledger) Delivered(partition int32, offset int64, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.next[partition] = max(l.mu.next[partition], offset+1)
	id, ok := ID(value)
	if !ok || id >= l.count {
		l.mu.tally.Altered++
		return
	}
	l.mu.scratch = l.stream.Append(l.mu.scratch[:0], id)
	if !bytes.Equal(l.mu.scratch, value) {
		l.mu.tally.Altered++
		return
	}
	switch here := placeOf(partition, offset); l.mu.places[id] {
	case 0:
		l.mu.places[id] = here
		l.mu.tally.Received++
		l.checkOrderLocked(partition, offset, id)
	case here:
		l.mu.tally.Redelivered++
	default:
		l.mu.tally.Duplicated++
	}
}

// checkOrderLocked compares with the last click of the partition: clicks are sent by id, so a later
// offset has a later id.
func (l *Ledger) checkOrderLocked(partition int32, offset, id int64) {
	last, ok := l.mu.order[partition]
	if ok && offset < last.offset {
		return // first seen out of turn, after a rebalance; the others tell
	}
	if ok && id < last.id {
		l.mu.tally.Reordered++
	}
	l.mu.order[partition] = placed{offset, id}
}

// Next returns the offset behind the last one delivered of partition.
func (l *Ledger) Next(partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.next[partition]
}

// Progress returns the counts so far, without Lost.
func (l *Ledger) Progress() Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.tally
}

// Close counts what was lost and returns the result, with the first ids that were.
func (l *Ledger) Close() (tally Tally, lost []int64) {
	const examples = 10
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, acked := range l.mu.acked {
		if acked && l.mu.places[id] == 0 {
			l.mu.tally.Lost++
			if len(lost) < examples {
				lost = append(lost, int64(id))
			}
		}
	}
	return l.mu.tally, lost
}
