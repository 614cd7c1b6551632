package group

import (
	"errors"
	"log/slog"
	"reflect"
	"testing"

	"github.com/millrace/millrace/log/record"
)

// FuzzReplay gives records to a State that may be anything, since a log can come from elsewhere. What does not parse
// is an error that changes nothing; what does can be described, and written again in our own way.
func FuzzReplay(f *testing.F) {
	p := TopicPartition{"t", 1}
	g := &group{id: "g", generation: 3, protocolType: "consumer", protocol: "range", stateSinceMs: 5, leader: "a"}
	g.add(&member{id: "a", instanceID: "i", sessionTimeoutMs: 10, rebalanceTimeoutMs: 20, assignment: []byte("x")},
		"consumer", []Protocol{{"range", subscription("t", "u")}})
	for _, r := range []record.Record{
		offsetRecord("g", p, Offset{Offset: 7, LeaderEpoch: 2, Metadata: "text", CommittedMs: 1, ExpiresMs: -1}),
		offsetRecord("g", p, Offset{Offset: 7, CommittedMs: 1, ExpiresMs: 9}),
		offsetTombstone("g", p), groupRecord(g), groupTombstone("g"),
		{Key: []byte{0, 3, 0, 1, 'g'}, Value: []byte{0, 0}},
	} {
		f.Add(r.Key, r.Value, r.Value == nil)
	}
	f.Fuzz(func(t *testing.T, key, value []byte, tombstone bool) {
		if tombstone {
			value = nil
		} else if value == nil {
			value = []byte{}
		}
		var own []record.Record
		s := New(defaultConfig(), Environment{
			Append: func(_ int64, records []record.Record) error { own = append(own, records...); return nil },
			Reply:  func(Ticket, any) {},
		}, slog.New(slog.DiscardHandler))
		err := s.Replay(key, value)
		if err != nil && (!errors.Is(err, ErrRecord) || len(s.groups) > 0) {
			t.Fatalf("%v left %d groups", err, len(s.groups))
		}
		for _, l := range s.List(nil) {
			d, ok := s.Describe(l.Group)
			if !ok || len(d.Members) == 0 && d.Phase != Empty {
				t.Fatalf("group %q: %+v, %v", l.Group, d, ok)
			}
			again := New(defaultConfig(), s.environment, s.logger)
			r := groupRecord(s.groups[l.Group])
			if err := again.Replay(r.Key, r.Value); err != nil {
				t.Fatalf("own record of group %q: %v", l.Group, err)
			}
		}
		s.Loaded()
		s.Advance(1<<40, 1<<40)
		for _, r := range own {
			if err := s.Replay(r.Key, r.Value); err != nil {
				t.Fatalf("own record: %v", err)
			}
		}
	})
}

// FuzzReplayInTransaction gives a State one record that may be anything, in a transaction and outside of one: committed it
// leaves what it would have left, and aborted nothing.
func FuzzReplayInTransaction(f *testing.F) {
	p := TopicPartition{"t", 1}
	for _, r := range []record.Record{
		offsetRecord("g", p, Offset{Offset: 7, LeaderEpoch: 2, Metadata: "text", CommittedMs: 1, ExpiresMs: -1}),
		offsetRecord("g", p, Offset{Offset: 7, CommittedMs: 1, ExpiresMs: 9}),
		{Key: []byte{0, 2, 0, 1, 'g'}, Value: []byte{0, 0}},
	} {
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if value == nil {
			value = []byte{}
		}
		state := func(replay func(s *State) error) []Summary {
			s := New(defaultConfig(), Environment{}, slog.New(slog.DiscardHandler))
			if err := replay(s); err != nil && !errors.Is(err, ErrRecord) {
				t.Fatal(err)
			}
			return s.Summaries()
		}
		in := func(end record.ControlType) []Summary {
			return state(func(s *State) error {
				err := s.ReplayTransactional(5, key, value)
				return errors.Join(err, s.ReplayMarker(record.EndTxnMarker{Type: end, ProducerID: 5}))
			})
		}
		plain := state(func(s *State) error { return s.Replay(key, value) })
		if committed := in(record.ControlCommit); !reflect.DeepEqual(committed, plain) {
			t.Fatalf("committed %+v, outside of a transaction %+v", committed, plain)
		}
		if aborted := in(record.ControlAbort); isOffsetKey(key) && len(aborted) > 0 {
			t.Fatalf("aborted %+v", aborted)
		}
	})
}
