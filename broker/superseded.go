package broker

import (
	"hash/maphash"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// supersededMax is for how many producers and requests the newest connections are remembered at least. Beyond, the oldest
// are forgotten.
const supersededMax = 1 << 14

// firstOffsetsVersionBumps is the first version of TxnOffsetCommit that is about a transaction with an epoch of its own.
const firstOffsetsVersionBumps = 5

// requestersMax bounds the connections of one producer that are told apart; clients with a pool of them have a few.
const requestersMax = 8

// superseded finds requests of transactions that come late: over a connection that their producer has left. Before KIP-890
// all transactions of a producer have one epoch, and nothing in an EndTxn says which of them it is to end; a late one would
// end a later transaction (KAFKA-17754). But a producer goes on only once it is answered, and connects anew where it is not:
// what is late comes over a connection that was silent since its producer connected anew. A client with a pool may live there
// all the same. It is told to try again, and its next request shows that it lives: what was left sends nothing any more but
// copies. Safe for concurrent use.
type superseded struct {
	mu struct {
		sync.Mutex
		newest, before map[producerRequests][]requester // before: what was known when newest was full
	}
}

// requester is a connection over which a producer's requests of one kind come. Connections are counted as they come.
type requester struct {
	connection int64
	seen       int64 // how many connections had come when its last request did
	doubted    bool  // its last request was taken for a late one,
	doubtful   int32 // with this correlation id
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

// finds reports whether a request comes late over a connection. came is how many connections have come so far.
func (s *superseded) finds(connection, came int64, correlationID int32, request kmsg.Request) bool {
	requests, ok := byOneEpoch(request)
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, known := s.mu.newest[requests]
	if !known {
		all = s.mu.before[requests]
	}
	r := requester{connection: connection, seen: connection}
	var newest int64
	for _, other := range all {
		if other.connection == connection {
			r = other
		}
		newest = max(newest, other.connection)
	}
	if newest > r.seen && !(r.doubted && r.doubtful != correlationID) {
		r.doubted, r.doubtful = true, correlationID
	} else {
		r.doubted, r.seen = false, came
	}
	s.keep(requests, all, r)
	return r.doubted
}

// keep puts r in the place of what was known of its connection, or of the one that was silent longest.
func (s *superseded) keep(requests producerRequests, all []requester, r requester) {
	if len(s.mu.newest) >= supersededMax {
		s.mu.before, s.mu.newest = s.mu.newest, nil
	}
	if s.mu.newest == nil {
		s.mu.newest = map[producerRequests][]requester{}
	}
	place, silent := -1, 0
	for i := range all {
		if all[i].connection == r.connection {
			place = i
		}
		if all[i].seen < all[silent].seen {
			silent = i
		}
	}
	switch {
	case place >= 0:
	case len(all) < requestersMax:
		all, place = append(all, r), len(all)
	default:
		place = silent
	}
	all[place] = r
	s.mu.newest[requests] = all
}

// lateAnswer is what a client is told whose request of a transaction came late: to try again.
func lateAnswer(request kmsg.Request) kmsg.Response {
	concurrent := kerr.ConcurrentTransactions.Code
	switch r := request.(type) {
	case *kmsg.AddPartitionsToTxnRequest:
		response := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
		for _, t := range r.Topics {
			topic := kmsg.AddPartitionsToTxnResponseTopic{Topic: t.Topic}
			for _, partition := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: partition, ErrorCode: concurrent})
			}
			response.Topics = append(response.Topics, topic)
		}
		return response
	case *kmsg.AddOffsetsToTxnRequest:
		response := r.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
		response.ErrorCode = concurrent
		return response
	case *kmsg.EndTxnRequest:
		response := r.ResponseKind().(*kmsg.EndTxnResponse)
		response.ErrorCode = concurrent
		return response
	}
	r := request.(*kmsg.TxnOffsetCommitRequest)
	response := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	for _, t := range r.Topics {
		topic := kmsg.TxnOffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.TopicID}
		for _, p := range t.Partitions {
			// Clients do not know CONCURRENT_TRANSACTIONS here.
			topic.Partitions = append(topic.Partitions, kmsg.TxnOffsetCommitResponseTopicPartition{
				Partition: p.Partition, ErrorCode: kerr.CoordinatorLoadInProgress.Code,
			})
		}
		response.Topics = append(response.Topics, topic)
	}
	return response
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
