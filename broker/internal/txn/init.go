package txn

import "math"

// transactionalIDBytesMax is how long a transactional id may be: no record holds a longer one.
const transactionalIDBytesMax = math.MaxInt16

// InitRequest is InitProducerId of a transactional producer.
type InitRequest struct {
	TransactionalID string
	TimeoutMs       int32
	ProducerID      int64 // that the producer believes to have (KIP-360), -1 none
	ProducerEpoch   int16 // with it, -1 none
}

// InitAnswer is the producer id and epoch that are the producer's from now on; -1 if there is a Code.
type InitAnswer struct {
	Code          Code
	ProducerID    int64
	ProducerEpoch int16
}

// InitProducerID gives a producer its id and an epoch that fences whoever had the transactional id before. A transaction
// that is open is aborted first, and the producer told to come again.
// Codes: InvalidRequest, InvalidTransactionTimeout, ConcurrentTransactions, ProducerFenced, CoordinatorLoadInProgress (no
// producer id at hand), CoordinatorNotAvailable (not written).
func (s *State) InitProducerID(r InitRequest) InitAnswer {
	code := s.checkInit(r)
	t := s.transactions[r.TransactionalID]
	switch {
	case code != None:
	case t == nil:
		t = &transaction{id: r.TransactionalID, position: -1}
		code = s.create(t, r)
	case t.phase.decided():
		code = ConcurrentTransactions
	case !t.mayInit(r):
		code = ProducerFenced
	case t.phase == Ongoing:
		if code = s.fence(t, Fenced); code == None {
			code = ConcurrentTransactions
		}
	default:
		code = s.renew(t, r)
	}
	if code != None {
		return InitAnswer{Code: code, ProducerID: noProducerID, ProducerEpoch: noProducerEpoch}
	}
	return InitAnswer{ProducerID: t.producerID, ProducerEpoch: t.producerEpoch}
}

func (s *State) checkInit(r InitRequest) Code {
	switch {
	case r.TransactionalID == "" || len(r.TransactionalID) > transactionalIDBytesMax:
		return InvalidRequest
	case (r.ProducerID < 0) != (r.ProducerEpoch < 0):
		return InvalidRequest
	case r.TimeoutMs <= 0 || r.TimeoutMs > s.config.MaxTimeoutMs:
		return InvalidTransactionTimeout
	}
	return None
}

// mayInit says whether a producer that names an id is the present one, or was the one before its epochs ran out and has
// not heard. Which epoch it names decides renew, but not while a transaction is open: then only its owner may have it
// aborted, lest a late request does.
func (t *transaction) mayInit(r InitRequest) bool {
	switch {
	case r.ProducerID < 0:
		return true
	case t.phase == Ongoing:
		return r.ProducerID == t.producerID && r.ProducerEpoch == t.producerEpoch
	default:
		return r.ProducerID == t.producerID || r.ProducerID == t.previousProducerID && r.ProducerEpoch >= epochLast
	}
}

// create makes a transactional id. What producer the request names does not matter: that one has expired.
func (s *State) create(t *transaction, r InitRequest) Code {
	id, ok := s.environment.NewProducerID()
	if !ok {
		return CoordinatorLoadInProgress
	}
	t.producerID = id
	code := s.change(t, metadata{
		phase:             Empty,
		producerID:        id,
		nextProducerID:    noProducerID,
		lastProducerEpoch: noProducerEpoch,
		timeoutMs:         r.TimeoutMs,
		startMs:           noStart,
	})
	if code == None {
		s.transactions[t.id] = t
	}
	return code
}

// renew gives an idle transactional id its next epoch, or a new producer id when there is none left. A producer that
// names the epoch before the present one asks again for what it was given and did not hear of.
func (s *State) renew(t *transaction, r InitRequest) Code {
	next := t.metadata
	next.phase = Empty
	next.timeoutMs = r.TimeoutMs
	next.startMs = noStart
	named := r.ProducerID >= 0
	switch {
	case named && (r.ProducerID != t.producerID || r.ProducerEpoch != t.producerEpoch):
		if r.ProducerEpoch != t.lastProducerEpoch {
			return ProducerFenced
		}
		return s.write(t, next) // no step: whoever asks may have to ask once more
	case t.exhausted():
		id, ok := s.environment.NewProducerID()
		if !ok {
			return CoordinatorLoadInProgress
		}
		next.producerID = id
		next.producerEpoch = 0
	default:
		next.producerEpoch++
	}
	next.lastProducerEpoch = noProducerEpoch
	if named {
		next.lastProducerEpoch = t.producerEpoch
	}
	return s.change(t, next)
}

// fence aborts an open transaction and takes its producer's epoch away.
func (s *State) fence(t *transaction, why Outcome) Code {
	next := t.metadata
	version := s.environment.TransactionVersion()
	if version < epochPerTransaction {
		version = 0
		next.producerEpoch = bumped(next.producerEpoch)
		next.lastProducerEpoch = noProducerEpoch
	}
	code := s.decide(t, next, PrepareAbort, version)
	if code == None {
		s.outcomes[why]++
		s.carryOut(t)
	}
	return code
}
