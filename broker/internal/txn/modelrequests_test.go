package txn

import (
	"reflect"
	"slices"

	"pgregory.net/rapid"
)

// newProducer is a program that starts, maybe while another one with its transactional id still runs.
func (h *harness) newProducer(t *rapid.T) {
	p := &producer{number: len(h.producers), version: rapid.SampledFrom([]int16{0, 2}).Draw(t, "version")}
	p.transactionalID = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id")
	p.producerID, p.epoch = noProducerID, noProducerEpoch
	h.producers = append(h.producers, p)
	h.initialize(t, p)
}

// someone draws a producer; recent ones come more often.
func (h *harness) someone(t *rapid.T) *producer {
	if len(h.producers) == 0 {
		t.Skip()
	}
	recent := h.producers[max(0, len(h.producers)-4):]
	return recent[rapid.IntRange(0, len(recent)-1).Draw(t, "producer")]
}

// nextEpoch is InitProducerId of a producer that wants another epoch, or has not got its first one.
func (h *harness) nextEpoch(t *rapid.T) { h.initialize(t, h.someone(t)) }

func (h *harness) initialize(t *rapid.T, p *producer) {
	h.send(t, p, &request{init: &InitRequest{
		TransactionalID: p.transactionalID,
		TimeoutMs:       int32(rapid.SampledFrom([]int{1_000, 60_000}).Draw(t, "timeout")),
		ProducerID:      p.producerID,
		ProducerEpoch:   p.epoch,
	}})
}

func (h *harness) claim(t *rapid.T, add bool) {
	p := h.someone(t)
	partitions := rapid.SliceOfN(rapid.SampledFrom([]Partition{{"t", 0}, {"t", 1}, {"u", 0}}), 1, 3).Draw(t, "partitions")
	h.send(t, p, &request{claim: &Claim{
		TransactionalID: p.transactionalID,
		ProducerID:      p.producerID,
		ProducerEpoch:   p.epoch,
		Partitions:      partitions,
		Add:             add,
		Version:         p.version,
	}})
}

func (h *harness) end(t *rapid.T) {
	p := h.someone(t)
	h.send(t, p, &request{end: &EndRequest{
		TransactionalID: p.transactionalID,
		ProducerID:      p.producerID,
		ProducerEpoch:   p.epoch,
		Commit:          rapid.Bool().Draw(t, "commit"),
		Version:         p.version,
	}})
}

// transaction is what producers do when nothing gets in between.
func (h *harness) transaction(t *rapid.T) {
	p := h.someone(t)
	h.quiet()
	if p.producerID == noProducerID {
		h.initialize(t, p)
		h.quiet()
	}
	partitions := []Partition{{"t", 0}}
	h.send(t, p, &request{claim: &Claim{p.transactionalID, p.producerID, p.epoch, partitions, true, p.version}})
	h.quiet()
	commit := rapid.Bool().Draw(t, "commit")
	h.send(t, p, &request{end: &EndRequest{p.transactionalID, p.producerID, p.epoch, commit, p.version}})
	if rapid.Bool().Draw(t, "to its end") {
		h.quiet()
	}
}

// send is the first time that a request comes.
func (h *harness) send(t *rapid.T, p *producer, r *request) {
	r.by = p
	r.signed = p.identity
	r.decided = len(h.decisions[p.transactionalID])
	h.past = append(h.past, r)
	h.do(t, r)
}

// late is a request that comes once more, over whatever connection.
func (h *harness) late(t *rapid.T) {
	if len(h.past) == 0 {
		t.Skip()
	}
	h.do(t, h.past[rapid.IntRange(0, len(h.past)-1).Draw(t, "request")])
}

func (h *harness) do(t *rapid.T, r *request) {
	h.state.Advance(h.nowMs, h.nowMs)
	before, known := h.metadata[r.signed.transactionalID]
	decided := len(h.decisions[r.signed.transactionalID])
	done := false // the answer says that what was asked for is so
	switch {
	case r.init != nil:
		a := h.state.InitProducerID(*r.init)
		done = a.Code == None
		h.initialized(r, a)
	case r.claim != nil:
		done = slices.Contains(h.state.Claim(*r.claim), None)
	case r.end != nil:
		done = h.sendEnd(r)
	}
	after := h.metadata[r.signed.transactionalID]
	h.checkHand(t, r, before, done, known && !reflect.DeepEqual(before, after), decided)
	h.poll()
}

// sendEnd says whether the transaction was decided before.
func (h *harness) sendEnd(r *request) bool {
	h.ticket++
	to := h.ticket
	h.waiting[to] = r
	answer := h.state.End(to, *r.end)
	if answer == nil {
		return false
	}
	delete(h.waiting, to)
	h.ended(r, answer.(EndAnswer))
	return answer.(EndAnswer).Code == None
}

// checkHand checks what a request has done to the id that was before. decided is how many transactions had been decided.
func (h *harness) checkHand(t *rapid.T, r *request, before metadata, done, changed bool, decided int) {
	present := r.signed.producerID == before.producerID && r.signed.epoch == before.producerEpoch
	late := r.by.version == epochPerTransaction && decided > r.decided
	switch {
	case r.init != nil:
		if changed && r.signed.producerID >= 0 && before.phase == Ongoing && !present {
			t.Fatalf("no late hand: %+v has ended %+v", *r.init, before)
		}
	case r.claim != nil:
		if changed && !r.claim.Add {
			t.Fatalf("a look-up changes %+v", before)
		}
		if (changed || done) && (!present || late) {
			t.Fatalf("no late hand: %+v (%d decided, now %d) is taken by %+v", *r.claim, r.decided, decided, before)
		}
	case r.end != nil:
		if changed && (!present || late) {
			t.Fatalf("no late hand: %+v (%d decided, now %d) has ended %+v", *r.end, r.decided, decided, before)
		}
	}
}

// initialized checks the answer to InitProducerId, and hands it to the producer when it may leave.
func (h *harness) initialized(r *request, a InitAnswer) {
	if a.Code != None {
		return
	}
	h.give(r, identity{r.signed.transactionalID, a.ProducerID, a.ProducerEpoch})
}

// give tells a producer its identity, which nobody else may have been told. It listens if it has not got on meanwhile.
func (h *harness) give(r *request, own identity) {
	h.hold(func() {
		if owner, taken := h.owners[own]; taken && owner != r.by.number {
			h.t.Fatalf("producers %d and %d were both told that they are %+v", owner, r.by.number, own)
		}
		h.owners[own] = r.by.number
		if r.by.identity == r.signed {
			r.by.identity = own
		}
	})
}

// ended checks an answer to EndTxn: who is told that it is done can rely on it.
func (h *harness) ended(r *request, a EndAnswer) {
	if a.Code != None {
		return
	}
	d, ok := h.decisionOf(r)
	if !ok || d.commit != r.end.Commit {
		h.t.Fatalf("one outcome: %+v is told %+v, decided was %+v (%v)", *r.end, a, d, ok)
	}
	h.hold(func() {
		if d.at >= h.committed {
			h.t.Fatalf("%+v is answered before its decision %+v is safe", *r.end, d)
		}
	})
	if r.by.version == epochPerTransaction {
		h.give(r, identity{r.signed.transactionalID, a.ProducerID, a.ProducerEpoch})
	}
}

// decisionOf is the decision about the transaction that a request wants to end: the old protocol can only mean the last
// one.
func (h *harness) decisionOf(r *request) (decision, bool) {
	for _, d := range slices.Backward(h.decisions[r.signed.transactionalID]) {
		if d.signed == r.signed {
			return d, true
		}
		if r.by.version < epochPerTransaction {
			break
		}
	}
	return decision{}, false
}
