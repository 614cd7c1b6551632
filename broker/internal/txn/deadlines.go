package txn

import (
	"container/heap"
	"math"
)

// deadlineQueue is a heap of transactions by deadline, and by id where those are equal, so that runs repeat exactly.
type deadlineQueue []*transaction

func (q deadlineQueue) Len() int { return len(q) }

func (q deadlineQueue) Less(i, j int) bool {
	if q[i].deadlineMs != q[j].deadlineMs {
		return q[i].deadlineMs < q[j].deadlineMs
	}
	return q[i].id < q[j].id
}

func (q deadlineQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].position, q[j].position = i, j
}

func (q *deadlineQueue) Push(x any) {
	t := x.(*transaction)
	t.position = len(*q)
	*q = append(*q, t)
}

func (q *deadlineQueue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.position = -1
	return t
}

// wakeAt sets the one deadline of t.
func (s *State) wakeAt(t *transaction, deadlineMs int64) {
	t.deadlineMs = deadlineMs
	if t.position < 0 {
		heap.Push(&s.deadlines, t)
	} else {
		heap.Fix(&s.deadlines, t.position)
	}
}

func (s *State) forgetDeadline(t *transaction) {
	if t.position >= 0 {
		heap.Remove(&s.deadlines, t.position)
	}
}

// watch sets the deadline of an open transaction. Its start is on the wall clock, which may have been set since: it
// never has more than its timeout from now on. Without a timeout are the transactions of an outside coordinator
// (KIP-939), which this one does not begin and may find in a log from elsewhere.
func (s *State) watch(t *transaction) {
	if t.timeoutMs == math.MaxInt32 {
		return
	}
	timeoutMs := max(0, int64(t.timeoutMs))
	passedMs := max(0, s.wallMs-t.startMs)
	s.wakeAt(t, s.nowMs+max(0, timeoutMs-passedMs))
}

// Advance sets the time and does what is due. nowMs runs the deadlines and must never go down (a monotonic clock);
// wallMs is what goes into records and what expiration is measured by, and may jump. It must be called before every
// other method, with the time of the call.
func (s *State) Advance(nowMs, wallMs int64) {
	s.nowMs = max(s.nowMs, nowMs)
	s.wallMs = wallMs
	for len(s.deadlines) > 0 && s.deadlines[0].deadlineMs <= s.nowMs {
		t := heap.Pop(&s.deadlines).(*transaction)
		s.due(t)
	}
	if s.nowMs >= s.checkMs {
		s.expire()
		s.checkMs = s.nowMs + s.config.ExpirationCheckMs
	}
}

// Deadline is when Advance has to be called next at the latest, on the clock of nowMs; math.MaxInt64 for never.
func (s *State) Deadline() int64 {
	if len(s.deadlines) == 0 {
		return s.checkMs
	}
	return min(s.checkMs, s.deadlines[0].deadlineMs)
}

func (s *State) due(t *transaction) {
	switch {
	case t.phase == Ongoing:
		s.timeOut(t)
	case t.end != 0:
		s.answerEnd(t)
	case t.phase.decided() && len(t.unwritten) == 0:
		s.complete(t)
	}
}

// timeOut aborts a transaction that is open for longer than its producer wanted.
func (s *State) timeOut(t *transaction) {
	if code := s.fence(t, TimedOut); code != None {
		s.wakeAt(t, s.nowMs+retryMs)
		return
	}
	s.logger.Info("transaction timed out", "transactional_id", t.id, "producer_id", t.producerID, "timeout_ms", t.timeoutMs)
}
