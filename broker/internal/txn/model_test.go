package txn

import (
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/log/record"
)

// TestTransactionsKeepTheirPromises has producers of both protocols do random things, lets every request of the past come
// again at any time, crashes, and checks the invariants of the package after each step.
func TestTransactionsKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &harness{t: rt, feature: 2, lastID: 999, owners: make(map[identity]int)}
		h.start()
		actions := map[string]func(*rapid.T){
			"new producer": h.newProducer,
			"next epoch":   h.nextEpoch,
			"transaction":  h.transaction,
			"another":      h.transaction,
			"add":          func(t *rapid.T) { h.claim(t, true) },
			"add more":     func(t *rapid.T) { h.claim(t, true) },
			"verify":       func(t *rapid.T) { h.claim(t, false) },
			"end":          h.end,
			"late":         h.late,
			"later":        h.late,
			"commit":       h.commit,
			"write":        h.write,
			"late report":  h.lateReport,
			"tick":         func(t *rapid.T) { h.tick(int64(rapid.IntRange(1, 8_000).Draw(t, "ms"))) },
			"long tick":    func(t *rapid.T) { h.tick(int64(rapid.IntRange(1, 8*86_400_000).Draw(t, "ms"))) },
			"refuse":       func(t *rapid.T) { h.refuse = rapid.Bool().Draw(t, "refuse") },
			"no ids":       func(t *rapid.T) { h.noIDs = rapid.Bool().Draw(t, "none") },
			"feature":      func(t *rapid.T) { h.feature = int16(rapid.IntRange(0, 2).Draw(t, "level")) },
			"exhaust":      h.exhaust,
			"crash":        h.crash,
			"":             h.check,
		}
		for range 4 { // what is wrong shows in long histories
			rt.Repeat(actions)
		}
		h.settle()
	})
}

// identity is what a producer signs its requests with.
type identity struct {
	transactionalID string
	producerID      int64
	epoch           int16
}

// producer is a client with a transactional id.
type producer struct {
	identity
	number  int
	version int16 // of the protocol that it speaks
}

// request is something that a producer has sent, and that may come again.
type request struct {
	by      *producer
	signed  identity
	decided int // how many transactions of the id were decided when it was sent first
	init    *InitRequest
	claim   *Claim
	end     *EndRequest
}

// decision is one Prepare record.
type decision struct {
	at     int // in the records
	signed identity
	commit bool
}

// harness does things to a State, is the log and the shard around it, and knows what has left it.
type harness struct {
	t         *rapid.T
	state     *State
	nowMs     int64
	records   []record.Record
	committed int // so many of them can never be lost
	held      []held
	refuse    bool
	noIDs     bool
	feature   int16
	lastID    int64
	ticket    Ticket
	writer    Ticket
	waiting   map[Ticket]*request
	producers []*producer
	past      []*request
	owners    map[identity]int // who was told that this is its identity
	metadata  map[string]metadata
	decisions map[string][]decision
	unwritten map[string]map[Partition]bool // partitions of a decided transaction whose marker was not reported
	handed    []Marker                      // to be written
	reports   []report
}

// held is an answer that waits until the records it rests on are committed.
type held struct {
	next int
	out  func()
}

type report struct {
	marker     Marker
	partitions []Partition
}

func (h *harness) start() {
	h.waiting = make(map[Ticket]*request)
	h.metadata = make(map[string]metadata)
	h.decisions = make(map[string][]decision)
	h.unwritten = make(map[string]map[Partition]bool)
	h.held, h.handed, h.reports, h.writer = nil, nil, nil, 0
	for i := range h.records {
		h.note(i)
	}
	h.state = h.replayed()
	h.state.Loaded()
	h.poll()
}

// replayed is a new State out of the records so far.
func (h *harness) replayed() *State {
	environment := Environment{
		Append:             h.append,
		Reply:              h.reply,
		NewProducerID:      h.newProducerID,
		TransactionVersion: func() int16 { return h.feature },
	}
	s := New(Config{MaxTimeoutMs: 60_000, IDExpirationMs: 7 * 86_400_000, ExpirationCheckMs: 3_600_000}, environment,
		slog.New(slog.DiscardHandler))
	for _, r := range h.records {
		if err := s.Replay(r.Key, r.Value); err != nil {
			h.t.Fatal(err)
		}
	}
	s.Advance(h.nowMs, h.nowMs)
	return s
}

func (h *harness) newProducerID() (int64, bool) {
	if h.noIDs {
		return 0, false
	}
	h.lastID++
	return h.lastID, true
}

func (h *harness) append(_ int64, records []record.Record) error {
	if h.refuse {
		return errors.New("refused")
	}
	for _, r := range records {
		h.records = append(h.records, r)
		h.checkStep(len(h.records) - 1)
		h.note(len(h.records) - 1)
	}
	return nil
}

// parse reads record i; nil is a tombstone.
func (h *harness) parse(i int) (string, *metadata) {
	r := h.records[i]
	id := string(r.Key[4:])
	if r.Value == nil {
		return id, nil
	}
	m, err := readValue(r.Value)
	if err != nil {
		h.t.Fatal(err)
	}
	return id, &m
}

// note keeps what record i says.
func (h *harness) note(i int) {
	id, m := h.parse(i)
	if m == nil {
		delete(h.metadata, id)
		return
	}
	before := h.metadata[id]
	h.metadata[id] = *m
	if !m.phase.decided() {
		delete(h.unwritten, id)
		return
	}
	signed := identity{id, before.producerID, before.producerEpoch}
	h.decisions[id] = append(h.decisions[id], decision{at: i, signed: signed, commit: m.phase == PrepareCommit})
	h.unwritten[id] = make(map[Partition]bool)
	for _, p := range m.partitions {
		h.unwritten[id][p] = true
	}
}

// checkStep says whether record i may follow what the log said of its id before.
func (h *harness) checkStep(i int) {
	id, next := h.parse(i)
	before, known := h.metadata[id]
	switch {
	case next == nil:
		if before.phase == Ongoing || before.phase.decided() {
			h.t.Fatalf("%s expires while it is %s", id, before.phase)
		}
		return
	case !known:
		if next.phase != Empty || next.producerEpoch != 0 || next.producerID != h.lastID {
			h.t.Fatalf("%s begins as %+v", id, *next)
		}
		return
	case next.producerID == before.producerID && next.producerEpoch < before.producerEpoch,
		next.producerID != before.producerID && (next.producerID < before.producerID || next.producerEpoch != 0):
		h.t.Fatalf("monotone epoch: %+v after %+v", *next, before)
	}
	same := next.producerID == before.producerID && next.producerEpoch == before.producerEpoch
	legal := false
	switch next.phase {
	case Empty:
		legal = before.phase != Ongoing && !before.phase.decided() && len(next.partitions) == 0
	case Ongoing:
		legal = !before.phase.decided() && same && containsAll(next.partitions, before.partitions)
	case PrepareCommit, PrepareAbort:
		legal = before.phase == Ongoing || next.phase == PrepareAbort && !before.phase.decided() && len(next.partitions) == 0
		legal = legal && slices.Equal(next.partitions, before.partitions) && next.producerID == before.producerID
		legal = legal && (same && next.version < epochPerTransaction || next.producerEpoch == before.producerEpoch+1)
	case CompleteCommit, CompleteAbort:
		legal = before.phase == next.phase-2 && (same || next.producerID == before.nextProducerID)
		if len(h.unwritten[id]) > 0 {
			h.t.Fatalf("no loose end: %s completes without markers in %v", id, h.unwritten[id])
		}
	}
	if !legal {
		h.t.Fatalf("one outcome: %+v after %+v", *next, before)
	}
}

func containsAll(all, some []Partition) bool {
	return !slices.ContainsFunc(some, func(p Partition) bool { return !slices.Contains(all, p) })
}

// hold lets something out when all records so far are committed.
func (h *harness) hold(out func()) {
	h.held = append(h.held, held{next: len(h.records), out: out})
	h.letOut()
}

func (h *harness) letOut() {
	for len(h.held) > 0 && h.held[0].next <= h.committed {
		out := h.held[0].out
		h.held = h.held[1:]
		out()
	}
}

// commit makes some of the records safe.
func (h *harness) commit(t *rapid.T) {
	h.committed = rapid.IntRange(h.committed, len(h.records)).Draw(t, "committed")
	h.letOut()
}

// crash loses some of the records that are not safe.
func (h *harness) crash(t *rapid.T) {
	h.records = h.records[:rapid.IntRange(h.committed, len(h.records)).Draw(t, "kept")]
	h.committed = len(h.records)
	h.start()
}

func (h *harness) reply(to Ticket, answer any) {
	if to == h.writer {
		h.writer = 0
		h.take(answer.([]Marker))
		return
	}
	r, ok := h.waiting[to]
	if !ok {
		h.t.Fatalf("one answer: ticket %d was answered before: %+v", to, answer)
	}
	delete(h.waiting, to)
	h.ended(r, answer.(EndAnswer))
}

// poll asks for markers as long as there are any.
func (h *harness) poll() {
	for h.writer == 0 {
		h.ticket++
		h.writer = h.ticket
		if answer := h.state.Markers(h.writer); answer != nil {
			h.writer = 0
			h.take(answer.([]Marker))
		}
	}
}

func (h *harness) take(markers []Marker) {
	for _, m := range markers {
		d := h.metadata[m.TransactionalID]
		if !d.phase.decided() || m.Commit != (d.phase == PrepareCommit) || m.ProducerID != d.producerID ||
			m.ProducerEpoch != d.producerEpoch || !slices.Equal(m.Partitions, d.partitions) || m.NewEpochOnly != (d.version >= 2) {
			h.t.Fatalf("one outcome: marker %+v of %+v", m, d)
		}
	}
	h.hold(func() { h.handed = append(h.handed, markers...) })
}

// write writes some of the markers that were handed out.
func (h *harness) write(t *rapid.T) {
	if len(h.handed) == 0 {
		t.Skip()
	}
	i := rapid.IntRange(0, len(h.handed)-1).Draw(t, "marker")
	m := h.handed[i]
	partitions := m.Partitions
	if rapid.Bool().Draw(t, "some") {
		partitions = partitions[:rapid.IntRange(1, len(partitions)).Draw(t, "count")]
	}
	if len(partitions) == len(m.Partitions) {
		h.handed = slices.Delete(h.handed, i, i+1)
	}
	h.report(m, partitions)
}

func (h *harness) report(m Marker, partitions []Partition) {
	for _, p := range partitions {
		delete(h.unwritten[m.TransactionalID], p)
	}
	h.reports = append(h.reports, report{m, partitions})
	h.state.Written(m, partitions)
	h.poll()
}

// lateReport repeats a report about a decision that is carried out: it must not count for another one.
func (h *harness) lateReport(t *rapid.T) {
	if len(h.reports) == 0 {
		t.Skip()
	}
	r := h.reports[rapid.IntRange(0, len(h.reports)-1).Draw(t, "report")]
	if h.state.Written(r.marker, r.partitions) {
		t.Fatalf("report %+v counts twice", r)
	}
}

func (h *harness) tick(ms int64) {
	end := h.nowMs + ms
	for h.nowMs < end {
		h.nowMs = min(max(h.state.Deadline(), h.nowMs+1), end)
		h.state.Advance(h.nowMs, h.nowMs)
		h.poll()
	}
}

// exhaust makes an idle id come near the end of its epochs.
func (h *harness) exhaust(t *rapid.T) {
	id := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id")
	m, ok := h.metadata[id]
	if !ok || m.phase == Ongoing || m.phase.decided() || m.producerEpoch > epochLast-2 || len(h.held) > 0 || h.refuse {
		t.Skip()
	}
	was := m.producerEpoch
	m.phase = Empty
	m.producerEpoch = epochLast - int16(rapid.IntRange(0, 2).Draw(t, "left"))
	m.lastProducerEpoch = noProducerEpoch
	r := h.state.record(id, &m)
	h.records = append(h.records, r)
	h.note(len(h.records) - 1)
	if err := h.state.Replay(r.Key, r.Value); err != nil {
		t.Fatal(err)
	}
	h.committed = len(h.records)
	for _, p := range h.producers {
		if p.transactionalID == id && p.producerID == m.producerID && p.epoch == was {
			p.epoch = m.producerEpoch
			h.owners[p.identity] = p.number
		}
	}
}

// settle lets everything end, and checks that it does.
func (h *harness) settle() {
	h.refuse, h.noIDs = false, false
	for range 3 {
		h.quiet()
		h.tick(60_000 + endWaitMs + retryMs)
	}
	if len(h.waiting) > 0 {
		h.t.Fatalf("one answer: %d still wait", len(h.waiting))
	}
	for id, x := range h.state.transactions {
		if x.phase == Ongoing || x.phase.decided() {
			h.t.Fatalf("no loose end: %s is %s after all", id, x.phase)
		}
	}
	h.check(h.t)
}

// quiet commits all records, and writes all markers.
func (h *harness) quiet() {
	h.committed = len(h.records)
	h.letOut()
	for len(h.handed) > 0 {
		m := h.handed[0]
		h.handed = h.handed[1:]
		h.report(m, m.Partitions)
	}
	h.committed = len(h.records)
	h.letOut()
}

// check compares what a restart would find with what is there.
func (h *harness) check(t *rapid.T) {
	restarted := h.replayed()
	if len(restarted.transactions) != len(h.state.transactions) {
		t.Fatalf("restart is replay: %d ids, after a restart %d", len(h.state.transactions), len(restarted.transactions))
	}
	for id, x := range h.state.transactions {
		a, b := x.metadata, restarted.transactions[id].metadata
		if h.oldRecord(id) {
			// What the old record has no room for, Kafka forgets as well.
			a.lastProducerEpoch, a.previousProducerID, a.version = b.lastProducerEpoch, b.previousProducerID, b.version
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("restart is replay: %+v is after a restart %+v", a, b)
		}
		if queued := x.position >= 0; (x.phase == Ongoing || x.end != 0) && !queued {
			t.Fatalf("%s is %s and has no deadline", id, x.phase)
		}
	}
}

// oldRecord says whether the last record of id is of version 0.
func (h *harness) oldRecord(id string) bool {
	for _, r := range slices.Backward(h.records) {
		if string(r.Key[4:]) == id {
			return r.Value[1] == 0
		}
	}
	return false
}
