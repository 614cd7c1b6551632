package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// story is a sound history of a pretended broker, with what is needed to spoil it.
type story struct {
	random *rand.Rand
	events []any
	log    map[Place][]Record
	acks   []int // positions of Acked
	reads  []int // of Read
}

func (s *story) add(events ...any) { s.events = append(s.events, events...) }

// tell makes up a history: producers, a reader, a group of two members, and topics that come and go.
func tell(seed uint64) *story {
	s := &story{random: rand.New(rand.NewPCG(seed, 1)), log: map[Place][]Record{}}
	places := []Place{{"a", 0}, {"a", 1}, {"b", 0}}
	s.add(TopicAsked{"a"}, TopicCreated{"a"}, TopicAsked{"b"}, TopicCreated{"b"}, TopicAsked{"c"}, TopicCreated{"c"})
	for _, p := range places {
		s.add(Assigned{Place: p, Reader: "reader"}, Assigned{Place: p, Reader: "member-0", Group: "g"})
	}
	numbers := map[string]int64{}
	given, taken, committed := map[Place]int{}, map[Place]int{}, map[Place]int{}
	member := 0
	for range 300 {
		p := places[s.random.IntN(len(places))]
		switch s.random.IntN(6) {
		case 0, 1:
			producer := fmt.Sprint("producer-", s.random.IntN(3))
			key := producer + p.String()
			numbers[key]++
			s.produce(p, Record{producer, numbers[key], s.random.Uint64()})
		case 2:
			if given[p] < len(s.log[p]) {
				s.give(Read{Place: p, Reader: "reader"}, given)
			}
		case 3:
			if taken[p] < len(s.log[p]) {
				s.give(Read{Place: p, Reader: fmt.Sprint("member-", member), Group: "g"}, taken)
			}
		case 4:
			since := Moment(len(s.events))
			s.add(End{p, since, int64(len(s.log[p]))}, CommitSeen{p, "g", since, int64(committed[p]) - btoi(committed[p] == 0)})
		case 5:
			if taken[p] > committed[p] {
				committed[p] = taken[p]
				s.add(CommitAsked{p, "g", int64(taken[p])}, CommitAcked{p, "g", int64(taken[p])})
			}
			if s.random.IntN(4) == 0 { // the other member takes over
				member = 1 - member
				for _, p := range places {
					taken[p] = committed[p]
					s.add(Assigned{Place: p, Reader: fmt.Sprint("member-", member), Group: "g"})
				}
			}
		}
	}
	s.add(DeleteAsked{"c"}, Deleted{"c"}, Topics{[]string{"a", "b"}})
	for _, p := range places {
		s.add(s.stored(p))
	}
	return s
}

func btoi(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (s *story) produce(p Place, r Record) {
	offset := int64(len(s.log[p]))
	s.log[p] = append(s.log[p], r)
	s.add(Sent{p, r})
	if s.random.IntN(10) > 0 { // some acknowledgements are lost on the way
		s.acks = append(s.acks, len(s.events))
		s.add(Acked{p, r, offset})
	}
}

func (s *story) give(r Read, positions map[Place]int) {
	r.Offset = int64(positions[r.Place])
	r.Record = s.log[r.Place][r.Offset]
	positions[r.Place]++
	s.reads = append(s.reads, len(s.events))
	s.add(r)
}

func (s *story) stored(p Place) Stored {
	stored := Stored{Place: p}
	for i, r := range s.log[p] {
		stored.Records = append(stored.Records, StoredRecord{int64(i), r})
	}
	return stored
}

// last returns where the content of the place of an event is told.
func (s *story) last(p Place) int {
	return slices.IndexFunc(s.events, func(e any) bool {
		stored, ok := e.(Stored)
		return ok && stored.Place == p
	})
}

// change replaces the content of a place.
func (s *story) change(p Place, change func([]StoredRecord) []StoredRecord) {
	i := s.last(p)
	stored := s.events[i].(Stored)
	stored.Records = change(slices.Clone(stored.Records))
	s.events[i] = stored
}

func TestSoundHistoriesPass(t *testing.T) {
	for seed := range uint64(200) {
		violations, summary := Check(tell(seed).events)
		if len(violations) > 0 {
			t.Fatalf("seed %d: %v", seed, violations)
		}
		if summary.Acked < 20 || summary.Stored < summary.Acked || summary.Read == 0 || summary.Commits == 0 || summary.Topics != 3 || summary.TopicsDeleted != 1 {
			t.Fatalf("seed %d: %v", seed, summary)
		}
	}
}

// TestEveryWrongIsFound spoils sound histories in each way, at seeded places.
func TestEveryWrongIsFound(t *testing.T) {
	shift := func(records []StoredRecord, from int, by int64) []StoredRecord {
		for i := from; i < len(records); i++ {
			records[i].Offset += by
		}
		return records
	}
	for name, test := range map[string]struct {
		spoil func(s *story, ack Acked)
		want  string
	}{
		"lost record": {func(s *story, ack Acked) {
			s.change(ack.Place, func(r []StoredRecord) []StoredRecord {
				return shift(slices.Delete(r, int(ack.Offset), int(ack.Offset)+1), int(ack.Offset), -1)
			})
		}, Lost},
		"lost end": {func(s *story, ack Acked) {
			s.change(ack.Place, func(r []StoredRecord) []StoredRecord { return r[:ack.Offset] })
		}, Lost},
		"hole": {func(s *story, ack Acked) {
			s.change(ack.Place, func(r []StoredRecord) []StoredRecord { return shift(r, int(ack.Offset), 1) })
		}, Gap},
		"stored twice": {func(s *story, ack Acked) {
			s.change(ack.Place, func(r []StoredRecord) []StoredRecord {
				return append(r, StoredRecord{int64(len(r)), ack.Record})
			})
		}, Duplicated},
		"never sent": {func(s *story, ack Acked) {
			s.change(ack.Place, func(r []StoredRecord) []StoredRecord {
				return append(r, StoredRecord{int64(len(r)), Record{"nobody", 1, 1}})
			})
		}, Invented},
		"sent elsewhere": {func(s *story, ack Acked) {
			r := Record{ack.Record.Producer, 1 << 40, 1}
			s.events = slices.Insert(s.events, 0, any(Sent{Place{"b", 7}, r}))
			s.change(ack.Place, func(records []StoredRecord) []StoredRecord {
				return append(records, StoredRecord{int64(len(records)), r})
			})
		}, Invented},
		"one bit": {func(s *story, ack Acked) {
			s.change(ack.Place, func(r []StoredRecord) []StoredRecord {
				r[ack.Offset].Record.Sum ^= 1
				return r
			})
		}, Altered},
		"acknowledged elsewhere": {func(s *story, ack Acked) {
			i := slices.Index(s.events, any(ack))
			ack.Offset += 1000
			s.events[i] = ack
		}, Moved},
		"swapped in the log": {func(s *story, ack Acked) {
			// Another record of the same producer follows, and both change places: as if a retry had overtaken.
			later := Record{ack.Record.Producer, ack.Record.Number + 1_000_000, 5}
			s.events = slices.Insert(s.events, slices.Index(s.events, any(ack)), any(Sent{ack.Place, later}))
			s.change(ack.Place, func(r []StoredRecord) []StoredRecord {
				return shift(slices.Insert(r, int(ack.Offset), StoredRecord{ack.Offset, later}), int(ack.Offset)+1, 1)
			})
		}, Reordered},
		"before its predecessor": {func(s *story, ack Acked) {
			r := Record{"late", 1, 1}
			s.events = slices.Insert(s.events, slices.Index(s.events, any(ack))+1, any(Sent{ack.Place, r}), any(Acked{ack.Place, r, ack.Offset}))
		}, Overtaken},
		"offset reused": {func(s *story, ack Acked) {
			r := Record{"late", 1, 1}
			s.events = slices.Insert(s.events, slices.Index(s.events, any(ack))+1, any(Sent{ack.Place, r}), any(Acked{ack.Place, r, ack.Offset}))
		}, Changed},
		"end too small": {func(s *story, ack Acked) {
			i := slices.Index(s.events, any(ack)) + 1
			s.events = slices.Insert(s.events, i, any(End{ack.Place, Moment(i), ack.Offset}))
		}, EndBehind},
		"end went back": {func(s *story, ack Acked) {
			p := Place{"quiet", 0}
			s.events = slices.Insert(s.events, 0, any(Sent{p, ack.Record}), any(End{p, 1, 1}), any(End{p, 2, 0}))
		}, EndBehind},
		"end too large": {func(s *story, ack Acked) {
			s.add(End{ack.Place, Moment(len(s.events)), int64(len(s.log[ack.Place])) + 1})
		}, EndAhead},
		"reader skips": {func(s *story, _ Acked) { s.skip() }, Skipped},
		"reader goes back": {func(s *story, _ Acked) {
			i := s.reads[s.random.IntN(len(s.reads))]
			s.events = slices.Insert(s.events, i, s.events[i])
		}, WentBack},
		"read uncommitted": {func(s *story, ack Acked) {
			r := Record{ack.Record.Producer, 1 << 40, 9}
			end := int64(len(s.log[ack.Place]))
			s.events = slices.Insert(s.events, len(s.events)-3, any(Sent{ack.Place, r}),
				any(Assigned{Place: ack.Place, Reader: "early", From: end}), any(Read{Place: ack.Place, Reader: "early", Offset: end, Record: r}))
		}, Lost},
		"commit forgotten": {func(s *story, _ Acked) {
			p := Place{"a", 1}
			s.add(CommitAsked{p, "h", 1}, CommitAcked{p, "h", 1}, CommitSeen{p, "h", Moment(len(s.events) + 2), -1})
		}, CommitLost},
		"commit went back": {func(s *story, _ Acked) {
			p := Place{"a", 1}
			s.add(CommitAsked{p, "h", 1}, CommitAsked{p, "h", 2}, CommitSeen{p, "h", Moment(len(s.events) + 2), 2}, CommitSeen{p, "h", Moment(len(s.events) + 3), 1})
		}, CommitLost},
		"commit of nobody": {func(s *story, ack Acked) {
			s.add(CommitSeen{ack.Place, "h", Moment(len(s.events)), 3})
		}, CommitMade},
		"member resumes too early": {func(s *story, ack Acked) {
			s.resume(ack, "h", 0)
		}, CommitLost},
		"member resumes elsewhere": {func(s *story, ack Acked) {
			s.resume(ack, "h", 2)
		}, CommitMade},
		"commit beyond what was read": {func(s *story, ack Acked) {
			s.add(CommitAsked{ack.Place, "h", 2}, CommitAcked{ack.Place, "h", 2})
		}, Unread},
		"topic lost": {func(s *story, _ Acked) {
			s.add(TopicAsked{"d"}, TopicCreated{"d"}, Topics{[]string{"a", "b"}})
		}, TopicLost},
		"topic back": {func(s *story, _ Acked) { s.add(Topics{[]string{"a", "b", "c"}}) }, TopicBack},
		"topic made": {func(s *story, _ Acked) { s.add(Topics{[]string{"a", "b", "x"}}) }, TopicMade},
		"nobody looked": {func(s *story, ack Acked) {
			i := s.last(ack.Place)
			s.events = slices.Delete(s.events, i, i+1)
		}, Unfinished},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				s := tell(seed)
				ack := s.events[s.acks[s.random.IntN(len(s.acks))]].(Acked)
				test.spoil(s, ack)
				violations, _ := Check(s.events)
				if !slices.ContainsFunc(violations, func(v Violation) bool { return v.Kind == test.want }) {
					t.Fatalf("seed %d: nothing is %q in %v", seed, test.want, violations)
				}
			}
		})
	}
}

// skip lets a reader miss a record.
func (s *story) skip() {
	later := slices.DeleteFunc(slices.Clone(s.reads), func(i int) bool { return s.events[i].(Read).Offset == 0 })
	i := later[s.random.IntN(len(later))]
	r := s.events[i].(Read)
	s.events = slices.Insert(s.events, i, any(Assigned{Place: r.Place, Reader: r.Reader, From: r.Offset - 1}))
}

// resume lets a member of a group that has committed offset 1 of a place of three records go on elsewhere.
func (s *story) resume(ack Acked, group string, offset int64) {
	p := Place{ack.Topic, 9}
	for i := range int64(3) {
		s.add(Sent{p, Record{"p", i, 1}})
	}
	s.add(Assigned{Place: p, Reader: "m", Group: group}, Read{Place: p, Reader: "m", Group: group, Offset: 0, Record: Record{"p", 0, 1}},
		CommitAsked{p, group, 1}, CommitAcked{p, group, 1},
		Assigned{Place: p, Reader: "n", Group: group}, Read{Place: p, Reader: "n", Group: group, Offset: offset, Record: Record{"p", offset, 1}})
}
