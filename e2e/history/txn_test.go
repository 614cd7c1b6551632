package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// saga is a sound history of transactions on a pretended broker, with what is needed to spoil it.
type saga struct {
	random *rand.Rand
	events []any
	log    map[Place][]entry
	last   map[Place]int64 // group "g"'s committed offset
}

// entry is an offset of a pretended partition: a record, or the marker of a transaction.
type entry struct {
	transaction string
	record      Record
	marker      bool
}

type deal struct {
	name    string
	outcome Outcome
	places  []Place
	commits map[Place]int64
}

var sagaPlaces = []Place{{"a", 0}, {"a", 1}, {"b", 0}}

func (s *saga) add(events ...any) { s.events = append(s.events, events...) }

// recount makes up a history: transactions that overlap, of which some are aborted and some have lost their answer, a
// reader, offsets of a group, and looks at last stable offsets.
func recount(seed uint64) *saga {
	s := &saga{random: rand.New(rand.NewPCG(seed, 3)), log: map[Place][]entry{}, last: map[Place]int64{}}
	for _, p := range sagaPlaces {
		s.add(Assigned{Place: p, Reader: "reader"})
	}
	decided := map[string]bool{} // transaction to whether it committed
	positions := map[Place]int{}
	var open []*deal
	for i := range 120 {
		switch s.random.IntN(5) {
		case 0, 1:
			d := s.begin(fmt.Sprint("t", i), int64(i))
			open = append(open, d)
		case 2, 3:
			if len(open) > 0 {
				n := s.random.IntN(len(open))
				s.end(open[n], decided)
				open = slices.Delete(open, n, n+1)
			}
		case 4:
			s.look(positions, decided)
		}
	}
	for _, d := range open {
		s.end(d, decided)
	}
	s.look(positions, decided)
	for _, p := range sagaPlaces {
		stored := TxnStored{Place: p}
		for offset, e := range s.log[p] {
			if !e.marker && decided[e.transaction] {
				stored.Records = append(stored.Records, TxnStoredRecord{int64(offset), e.transaction, e.record})
			}
		}
		s.add(stored)
	}
	for _, p := range sagaPlaces {
		s.add(TxnFinished{p, "reader"}, CommitSeen{p, "g", Moment(len(s.events)), s.committedOffset(p)})
	}
	return s
}

func (s *saga) committedOffset(p Place) int64 {
	if s.last[p] == 0 {
		return -1
	}
	return s.last[p]
}

func (s *saga) begin(name string, number int64) *deal {
	d := &deal{name: name, commits: map[Place]int64{}}
	for i := range 2 + s.random.IntN(3) {
		p := sagaPlaces[s.random.IntN(len(sagaPlaces))]
		r := Record{"producer-" + name, number*10 + int64(i), s.random.Uint64()}
		s.add(TxnSent{p, name, r})
		s.add(TxnAcked{p, name, r, int64(len(s.log[p]))})
		s.log[p] = append(s.log[p], entry{transaction: name, record: r})
		d.places = append(d.places, p)
	}
	return d
}

// end decides a transaction. Its offset of the group comes last, so that those of a place only grow.
func (s *saga) end(d *deal, decided map[string]bool) {
	p := d.places[0]
	offset := s.last[p] + 1 + s.random.Int64N(3)
	chance := s.random.IntN(10)
	commit := chance < 7
	if s.random.IntN(2) == 0 {
		d.commits[p] = offset
		s.add(TxnOffset{p, d.name, "g", offset})
	}
	if commit || chance == 9 {
		s.add(TxnCommitAsked{d.name})
	}
	outcome := Aborted
	switch {
	case commit && chance < 6:
		outcome = Committed
	case commit || chance == 9:
		outcome = Unknown
	}
	if commit && d.commits[p] > 0 {
		s.last[p] = offset
	}
	for _, at := range slices.Compact(slices.SortedFunc(slices.Values(d.places), func(a, b Place) int {
		return slices.Compare([]byte(a.String()), []byte(b.String()))
	})) {
		s.log[at] = append(s.log[at], entry{transaction: d.name, marker: true})
	}
	decided[d.name] = commit
	d.outcome = outcome
	s.add(TxnEnded{d.name, outcome})
}

// look asks for what is stable, lets the reader read up to there, and asks for the offsets of the group.
func (s *saga) look(positions map[Place]int, decided map[string]bool) {
	for _, p := range sagaPlaces {
		stable := len(s.log[p])
		for offset, e := range s.log[p] {
			if _, known := decided[e.transaction]; !known {
				stable = offset
				break
			}
		}
		s.add(LastStable{p, Moment(len(s.events)), int64(stable)})
		for ; positions[p] < stable; positions[p]++ {
			if e := s.log[p][positions[p]]; !e.marker && decided[e.transaction] {
				s.add(TxnRead{p, "reader", int64(positions[p]), e.transaction, e.record})
			}
		}
		s.add(CommitSeen{p, "g", Moment(len(s.events)), s.committedOffset(p)})
	}
}

// pick returns the position of a random event of a type that fits.
func pick[E any](s *saga, fits func(E) bool) int {
	var at []int
	for i, e := range s.events {
		if e, ok := e.(E); ok && fits(e) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return -1
	}
	return at[s.random.IntN(len(at))]
}

func anyOf[E any](E) bool { return true }

// stored changes what a place held at the end.
func (s *saga) stored(p Place, change func([]TxnStoredRecord) []TxnStoredRecord) {
	i := pick(s, func(e TxnStored) bool { return e.Place == p })
	e := s.events[i].(TxnStored)
	e.Records = change(slices.Clone(e.Records))
	s.events[i] = e
}

// told is a transaction with an outcome.
func (s *saga) told(outcome Outcome) (name string, ok bool) {
	i := pick(s, func(e TxnEnded) bool { return e.Outcome == outcome })
	if i < 0 {
		return "", false
	}
	return s.events[i].(TxnEnded).Transaction, true
}

// ack is a record of a transaction that was acknowledged.
func (s *saga) ack(name string) TxnAcked {
	return s.events[pick(s, func(e TxnAcked) bool { return e.Transaction == name })].(TxnAcked)
}

func (s *saga) insert(at int, events ...any) { s.events = slices.Insert(s.events, at, events...) }

func TestSoundTransactionsPass(t *testing.T) {
	for seed := range uint64(200) {
		violations, summary := CheckTransactions(recount(seed).events, Promises{VisibleAtOnce: true})
		if len(violations) > 0 {
			t.Fatalf("seed %d: %v", seed, violations)
		}
		if summary.Committed == 0 || summary.Stored == 0 || summary.Read < summary.Stored || summary.LastStables == 0 || summary.OffsetsSeen == 0 {
			t.Fatalf("seed %d: %v", seed, summary)
		}
	}
}

// spoils are ways to break a promise. Each says whether the history had what it needs.
var spoils = map[string]struct {
	spoil func(s *saga) bool
	want  string
}{
	"an aborted record is stored": {func(s *saga) bool {
		name, ok := s.told(Aborted)
		if !ok {
			return false
		}
		a := s.ack(name)
		s.stored(a.Place, func(r []TxnStoredRecord) []TxnStoredRecord {
			r = append(r, TxnStoredRecord{a.Offset, name, a.Record})
			slices.SortFunc(r, func(a, b TxnStoredRecord) int { return int(a.Offset - b.Offset) })
			return r
		})
		return true
	}, AbortedRead},
	"an aborted record is read": {func(s *saga) bool {
		name, ok := s.told(Aborted)
		if !ok {
			return false
		}
		a := s.ack(name)
		s.insert(len(s.events)-10, TxnRead{a.Place, "reader", a.Offset, name, a.Record})
		return true
	}, AbortedRead},
	"a record is read before its commit": {func(s *saga) bool {
		name, ok := s.told(Committed)
		if !ok {
			return false
		}
		a := s.ack(name)
		s.insert(slices.Index(s.events, any(TxnCommitAsked{name})), Assigned{Place: a.Place, Reader: "early", From: a.Offset}, TxnRead{a.Place, "early", a.Offset, name, a.Record})
		return true
	}, Precommitted},
	"a producer reads what it sent": {func(s *saga) bool {
		i := pick(s, anyOf[TxnAcked])
		a := s.events[i].(TxnAcked)
		s.insert(i+1, TxnRead{a.Place, "reader", a.Offset, a.Transaction, a.Record})
		return true
	}, Precommitted},
	"a committed transaction is lost": {func(s *saga) bool {
		name, ok := s.told(Committed)
		if !ok {
			return false
		}
		for _, p := range sagaPlaces {
			s.stored(p, func(r []TxnStoredRecord) []TxnStoredRecord {
				return slices.DeleteFunc(r, func(r TxnStoredRecord) bool { return r.Transaction == name })
			})
		}
		return true
	}, Lost},
	"a record of a transaction is lost": {func(s *saga) bool {
		i := pick(s, func(e TxnStored) bool { return len(e.Records) > 1 })
		e := s.events[i].(TxnStored)
		name := e.Records[0].Transaction
		s.stored(e.Place, func(r []TxnStoredRecord) []TxnStoredRecord { return r[1:] })
		return len(s.transactionRecords(name)) > 0
	}, Torn},
	"a record moved": {func(s *saga) bool {
		i := pick(s, func(e TxnStored) bool { return len(e.Records) > 0 })
		e := s.events[i].(TxnStored)
		name := e.Records[len(e.Records)-1].Transaction
		s.stored(e.Place, func(r []TxnStoredRecord) []TxnStoredRecord {
			r[len(r)-1].Offset += 100
			return r
		})
		return slices.Contains(s.events, any(TxnEnded{name, Committed}))
	}, Moved},
	"a record is there twice": {func(s *saga) bool {
		i := pick(s, func(e TxnStored) bool { return len(e.Records) > 0 })
		s.stored(s.events[i].(TxnStored).Place, func(r []TxnStoredRecord) []TxnStoredRecord {
			again := r[0]
			again.Offset = r[len(r)-1].Offset + 100
			return append(r, again)
		})
		return true
	}, Duplicated},
	"two transactions commit the same work": {func(s *saga) bool {
		i := pick(s, func(e TxnStored) bool { return len(e.Records) > 0 })
		e := s.events[i].(TxnStored)
		r := e.Records[0]
		s.insert(0, TxnSent{e.Place, "again", r.Record}, TxnCommitAsked{"again"}, TxnEnded{"again", Committed})
		s.stored(e.Place, func(all []TxnStoredRecord) []TxnStoredRecord {
			return append(all, TxnStoredRecord{all[len(all)-1].Offset + 100, "again", r.Record})
		})
		return true
	}, Duplicated},
	"a record of nobody": {func(s *saga) bool {
		s.stored(sagaPlaces[0], func(r []TxnStoredRecord) []TxnStoredRecord {
			return append(r, TxnStoredRecord{1 << 20, "nobody", Record{"nobody", 1, 1}})
		})
		return true
	}, Invented},
	"one bit": {func(s *saga) bool {
		i := pick(s, func(e TxnStored) bool { return len(e.Records) > 0 })
		s.stored(s.events[i].(TxnStored).Place, func(r []TxnStoredRecord) []TxnStoredRecord {
			r[0].Record.Sum ^= 1
			return r
		})
		return true
	}, Altered},
	"an offset changes": {func(s *saga) bool {
		i := pick(s, anyOf[TxnRead])
		if i < 0 {
			return false
		}
		r := s.events[i].(TxnRead)
		r.Record.Sum++
		s.insert(i+1, r)
		return true
	}, Changed},
	"the reader skips": {func(s *saga) bool {
		i := pick(s, anyOf[TxnRead])
		if i < 0 {
			return false
		}
		r := s.events[i].(TxnRead)
		s.events = slices.Delete(s.events, i, i+1)
		return pick(s, func(e TxnRead) bool { return e.Place == r.Place && e.Offset > r.Offset }) >= 0
	}, Skipped},
	"the reader goes back": {func(s *saga) bool {
		i := pick(s, anyOf[TxnRead])
		if i >= 0 {
			s.insert(i, s.events[i])
		}
		return i >= 0
	}, WentBack},
	"the reader misses the end": {func(s *saga) bool {
		i := pick(s, anyOf[TxnRead])
		if i < 0 {
			return false
		}
		r := s.events[i].(TxnRead)
		s.events = slices.DeleteFunc(s.events, func(e any) bool {
			later, ok := e.(TxnRead)
			return ok && later.Place == r.Place && later.Offset >= r.Offset
		})
		return true
	}, Unseen},
	"stable before what is committed": {func(s *saga) bool {
		i := len(s.events) - 9 // all is decided
		for _, p := range sagaPlaces {
			if len(s.log[p]) > 0 {
				s.insert(i, LastStable{p, Moment(i), 0})
			}
		}
		return true
	}, StableBehind},
	"stable beyond an open transaction": {func(s *saga) bool {
		name, ok := s.told(Committed)
		if !ok {
			return false
		}
		a := s.ack(name)
		i := slices.Index(s.events, any(TxnCommitAsked{name}))
		s.insert(i, LastStable{a.Place, Moment(i), a.Offset + 1})
		return true
	}, StableAhead},
	"an offset of an aborted transaction": {func(s *saga) bool {
		name, ok := s.told(Aborted)
		i := pick(s, func(e TxnOffset) bool { return e.Transaction == name })
		if !ok || i < 0 {
			return false
		}
		o := s.events[i].(TxnOffset)
		o.Offset = 1 << 30
		s.events[i] = o
		s.add(CommitSeen{o.Place, "g", Moment(len(s.events)), o.Offset})
		return true
	}, AbortedRead},
	"an offset before its commit": {func(s *saga) bool {
		name, ok := s.told(Committed)
		i := pick(s, func(e TxnOffset) bool { return e.Transaction == name })
		if !ok || i < 0 {
			return false
		}
		o := s.events[i].(TxnOffset)
		s.insert(i+1, CommitSeen{o.Place, "g", Moment(i + 1), o.Offset})
		return !slices.ContainsFunc(s.events, func(e any) bool {
			other, is := e.(TxnOffset)
			return is && other.Transaction != name && other.Place == o.Place && other.Offset == o.Offset
		})
	}, Precommitted},
	"an offset that is lost": {func(s *saga) bool {
		for i, e := range s.events {
			if seen, ok := e.(CommitSeen); ok && seen.Offset > 0 {
				s.insert(i+1, CommitSeen{seen.Place, "g", Moment(i + 1), -1})
				return true
			}
		}
		return false
	}, CommitLost},
	"data without its offset": {func(s *saga) bool {
		name, ok := s.told(Unknown)
		if !ok || len(s.transactionRecords(name)) == 0 {
			return false
		}
		s.insert(slices.Index(s.events, any(TxnCommitAsked{name})), TxnOffset{sagaPlaces[0], name, "h", 5})
		s.add(CommitSeen{sagaPlaces[0], "h", Moment(len(s.events)), -1})
		return true
	}, Torn},
	"an offset without its data": {func(s *saga) bool {
		name, ok := s.told(Unknown)
		if !ok || len(s.transactionRecords(name)) > 0 {
			return false
		}
		s.insert(slices.Index(s.events, any(TxnCommitAsked{name})), TxnOffset{sagaPlaces[0], name, "h", 5})
		s.add(CommitSeen{sagaPlaces[0], "h", Moment(len(s.events)), 5})
		return true
	}, AbortedRead},
	"an offset of nobody": {func(s *saga) bool {
		s.add(CommitSeen{sagaPlaces[0], "g", Moment(len(s.events)), 1 << 40})
		return true
	}, CommitMade},
	"order within a producer": {func(s *saga) bool {
		p := Place{"quiet", 0}
		s.add(TxnSent{p, "x", Record{"p", 1, 1}}, TxnSent{p, "x", Record{"p", 2, 1}}, TxnCommitAsked{"x"}, TxnEnded{"x", Committed},
			TxnStored{p, []TxnStoredRecord{{0, "x", Record{"p", 2, 1}}, {1, "x", Record{"p", 1, 1}}}})
		return true
	}, Reordered},
	"stored before what it follows": {func(s *saga) bool {
		i := pick(s, anyOf[TxnAcked])
		a := s.events[i].(TxnAcked)
		s.insert(i+1, TxnSent{a.Place, "late", Record{"late", 1, 1}}, TxnAcked{a.Place, "late", Record{"late", 1, 1}, a.Offset})
		return true
	}, Overtaken},
	"nobody looked": {func(s *saga) bool {
		i := pick(s, anyOf[TxnStored])
		s.events = slices.Delete(s.events, i, i+1)
		return true
	}, Unfinished},
}

// transactionRecords are what is stored of a transaction.
func (s *saga) transactionRecords(name string) (records []TxnStoredRecord) {
	for _, e := range s.events {
		if stored, ok := e.(TxnStored); ok {
			for _, r := range stored.Records {
				if r.Transaction == name {
					records = append(records, r)
				}
			}
		}
	}
	return records
}

// TestEveryWrongOfTransactionsIsFound spoils sound histories in each way, at seeded places.
func TestEveryWrongOfTransactionsIsFound(t *testing.T) {
	const spoiledMin = 10
	for name, test := range spoils {
		t.Run(name, func(t *testing.T) {
			spoiled := 0
			for seed := range uint64(60) {
				s := recount(seed)
				if !test.spoil(s) {
					continue
				}
				spoiled++
				violations, _ := CheckTransactions(s.events, Promises{VisibleAtOnce: true})
				if !slices.ContainsFunc(violations, func(v Violation) bool { return v.Kind == test.want }) {
					t.Fatalf("seed %d: nothing is %q in %v", seed, test.want, violations)
				}
			}
			if spoiled < spoiledMin {
				t.Errorf("only %d histories could be spoiled", spoiled)
			}
		})
	}
}
