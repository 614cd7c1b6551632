package broker

import (
	"errors"
	"hash/maphash"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// supersededMax is for how many producers and requests the newest connections are remembered at least. Beyond, the oldest
// are forgotten.
const supersededMax = 1 << 14

// firstOffsetsVersionBumps is the first version of TxnOffsetCommit that is about a transaction with an epoch of its own.
const firstOffsetsVersionBumps = 5

// errSuperseded ends a connection that its producer has left for a newer one.
var errSuperseded = errors.New("late request of a transaction: its producer has gone on over a newer connection")

// superseded finds requests of transactions that come late: over a connection that their producer has left. Before KIP-890
// all transactions of a producer have one epoch, and nothing in an EndTxn says which of them it is to end; a late one would
// end a later transaction (KAFKA-17754). But a producer goes on only once it is answered, and reconnects where it is not:
// what is late comes over an older connection than what it was answered over. Whoever does live there finds its connection
// closed, and is the newest with the next one. Safe for concurrent use.
type superseded struct {
	mu struct {
		sync.Mutex
		newest, before map[producerRequests]int64 // numbers of connections; before: what was known when newest was full
	}
}

// producerRequests are those of one kind by one producer. What has another epoch is told apart by that. Of the transactional
// id, which anybody may make 32 KB long, there is only a hash.
type producerRequests struct {
	transactionalID uint64
	producerID      int64
	producerEpoch   int16
	key             int16
}

var supersededSeed = maphash.MakeSeed()

func requestsOf(transactionalID string, producerID int64, producerEpoch int16, key int16) producerRequests {
	return producerRequests{maphash.String(supersededSeed, transactionalID), producerID, producerEpoch, key}
}

// finds reports whether a request comes late over a connection with that number; connections are counted as they come.
func (s *superseded) finds(connection int64, request kmsg.Request) bool {
	requests, ok := byOneEpoch(request)
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	newest, known := s.mu.newest[requests]
	if !known {
		newest, known = s.mu.before[requests]
	}
	if known && connection < newest {
		return true
	}
	if len(s.mu.newest) >= supersededMax {
		s.mu.before, s.mu.newest = s.mu.newest, nil
	}
	if s.mu.newest == nil {
		s.mu.newest = map[producerRequests]int64{}
	}
	s.mu.newest[requests] = connection
	return false
}

// byOneEpoch says whose request it is, if it is one of a transaction that has no epoch of its own.
func byOneEpoch(request kmsg.Request) (producerRequests, bool) {
	switch r := request.(type) {
	case *kmsg.AddPartitionsToTxnRequest:
		return requestsOf(r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Key()), r.Version < firstAddVersionBatched
	case *kmsg.AddOffsetsToTxnRequest:
		return requestsOf(r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Key()), true
	case *kmsg.TxnOffsetCommitRequest:
		return requestsOf(r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Key()), r.Version < firstOffsetsVersionBumps
	case *kmsg.EndTxnRequest:
		return requestsOf(r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Key()), r.Version < firstEndVersionBumps
	}
	return producerRequests{}, false
}
