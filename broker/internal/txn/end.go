package txn

// EndRequest is EndTxn.
type EndRequest struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	Commit          bool
	// Version is the client's transaction version: 2 from version 5 of EndTxn on, else 0.
	Version int16
}

// EndAnswer is the answer to EndTxn. From transaction version 2 on it names what the producer uses next; -1 otherwise.
type EndAnswer struct {
	Code          Code
	ProducerID    int64
	ProducerEpoch int16
}

func refuseEnd(code Code) EndAnswer {
	return EndAnswer{Code: code, ProducerID: noProducerID, ProducerEpoch: noProducerEpoch}
}

// End decides a transaction. It returns an EndAnswer, or nil if the ticket will be replied to with one: when all markers
// are written, or after endWaitMs, when the outcome is decided and its markers are still on their way.
//
// The old protocol has one epoch for many transactions, so that a late EndTxn of one can decide the next: that is what
// KIP-890 is for. In its protocol a request with the epoch before the present one is the same request again.
//
// Codes: InvalidRequest, InvalidProducerIDMapping, ProducerFenced, InvalidTxnState, ConcurrentTransactions,
// CoordinatorLoadInProgress (no producer id at hand), CoordinatorNotAvailable (not written).
func (s *State) End(to Ticket, r EndRequest) any {
	t := s.transactions[r.TransactionalID]
	switch {
	case r.TransactionalID == "":
		return refuseEnd(InvalidRequest)
	case t == nil:
		return refuseEnd(InvalidProducerIDMapping)
	}
	var code Code
	var again bool
	if r.Version >= epochPerTransaction {
		code, again = t.checkEnd(r)
	} else {
		code, again = t.checkOldEnd(r)
	}
	switch {
	case code != None:
		return refuseEnd(code)
	case again:
		return t.ended(r.Version)
	}
	return s.end(to, t, r)
}

// ended is the answer about a transaction that is decided.
func (t *transaction) ended(version int16) EndAnswer {
	if version < epochPerTransaction {
		return refuseEnd(None)
	}
	m := t.metadata
	if m.phase.decided() {
		m = m.completed()
	}
	return EndAnswer{ProducerID: m.producerID, ProducerEpoch: m.producerEpoch}
}

// checkOldEnd says whether the old protocol's EndTxn may decide, or has decided.
func (t *transaction) checkOldEnd(r EndRequest) (code Code, again bool) {
	switch {
	case r.ProducerID != t.producerID:
		return InvalidProducerIDMapping, false
	case r.ProducerEpoch != t.producerEpoch:
		return ProducerFenced, false
	case t.phase.decided():
		return ConcurrentTransactions, false
	case t.phase == Ongoing:
		return None, false
	case t.phase == outcome(r.Commit, CompleteCommit, CompleteAbort):
		return None, true
	}
	return InvalidTxnState, false
}

// checkEnd says the same of the EndTxn of KIP-890. A transaction without partitions may be aborted, which changes
// nothing but the epoch.
func (t *transaction) checkEnd(r EndRequest) (code Code, again bool) {
	again = t.endedBy(r.ProducerID, r.ProducerEpoch)
	switch {
	case t.phase.decided():
		return ConcurrentTransactions, false
	case r.ProducerID != t.producerID && !again:
		return InvalidProducerIDMapping, false
	case r.ProducerEpoch != t.producerEpoch && !again:
		return ProducerFenced, false
	case t.phase == Ongoing:
		return None, false
	case again && t.phase == outcome(r.Commit, CompleteCommit, CompleteAbort):
		return None, true
	case again || r.Commit:
		return InvalidTxnState, false
	}
	return None, false
}

// endedBy says whether the transaction that was completed last was that of a producer in the protocol of KIP-890: the one
// whose epoch the end has replaced by the present one. One that the old protocol has ended replaced none, and then whoever
// has the epoch before is fenced.
func (t *transaction) endedBy(producerID int64, epoch int16) bool {
	if t.phase != CompleteCommit && t.phase != CompleteAbort || t.version < epochPerTransaction {
		return false
	}
	if t.producerEpoch == 0 {
		return producerID == t.previousProducerID && epoch == epochLast
	}
	return producerID == t.producerID && epoch == t.producerEpoch-1
}

func outcome(commit bool, committed, aborted Phase) Phase {
	if commit {
		return committed
	}
	return aborted
}

// end decides as the producer wishes, and has its answer wait for the markers.
func (s *State) end(to Ticket, t *transaction, r EndRequest) any {
	opened := t.phase == Ongoing
	next := t.metadata
	if !opened {
		next.startMs = s.wallMs
	}
	code := s.decide(t, next, outcome(r.Commit, PrepareCommit, PrepareAbort), r.Version)
	if code != None {
		return refuseEnd(code)
	}
	switch {
	case opened && r.Commit:
		s.outcomes[Committed]++
	case opened:
		s.outcomes[Aborted]++
	}
	t.end = to
	s.wakeAt(t, s.nowMs+endWaitMs)
	s.carryOut(t)
	return nil
}

// decide writes down the outcome of next, which is what t has become by now.
func (s *State) decide(t *transaction, next metadata, phase Phase, version int16) Code {
	nextProducerID := int64(noProducerID)
	if version >= epochPerTransaction && next.exhausted() {
		id, ok := s.environment.NewProducerID()
		if !ok {
			return CoordinatorLoadInProgress
		}
		nextProducerID = id
	}
	code := s.change(t, next.prepared(phase, version, nextProducerID))
	if code == None {
		s.forgetDeadline(t)
	}
	return code
}

// answerEnd answers the request that waits for the end of the transaction, if there is one.
func (s *State) answerEnd(t *transaction) {
	if to := t.end; to != 0 {
		t.end = 0
		s.environment.Reply(to, t.ended(t.version))
	}
}
