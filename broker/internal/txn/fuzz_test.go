package txn

import (
	"errors"
	"log/slog"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/log/record"
)

// fuzzed is a State that writes into records.
func fuzzed(records *[]record.Record) *State {
	var id int64 = math.MaxInt64 - 1000
	return New(defaultConfig(), Environment{
		Append:             func(_ int64, made []record.Record) error { *records = append(*records, made...); return nil },
		Reply:              func(Ticket, any) {},
		NewProducerID:      func() (int64, bool) { id++; return id, true },
		TransactionVersion: func() int16 { return 2 },
	}, slog.New(slog.DiscardHandler))
}

// FuzzReplay gives records to a State that may be anything, since a log can come from elsewhere. What does not parse is
// an error that changes nothing; what does can be described, carried out, and read again as we write it.
func FuzzReplay(f *testing.F) {
	s := fuzzed(new([]record.Record))
	m := metadata{
		phase: Ongoing, producerID: 5, previousProducerID: 4, nextProducerID: 6, producerEpoch: 3, lastProducerEpoch: 2,
		timeoutMs: 60_000, partitions: []Partition{{"t", 0}, {"t", 1}, {"u", 0}}, startMs: 1, updatedMs: 2, version: 2,
	}
	for _, phase := range []Phase{Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, Dead} {
		m.phase = phase
		r := s.record("a", &m)
		f.Add(r.Key, r.Value, false)
	}
	old := kmsg.TxnMetadataValue{ProducerID: 1, State: 2, Topics: []kmsg.TxnMetadataValueTopic{{Topic: "t", Partitions: []int32{1, 1}}}}
	f.Add(recordKey("a"), old.AppendTo(nil), false)
	f.Add(recordKey("a"), []byte(nil), true)
	f.Add([]byte{0, 3, 0, 1, 'a'}, []byte{0, 0}, false)
	f.Fuzz(func(t *testing.T, key, value []byte, tombstone bool) {
		if tombstone {
			value = nil
		} else if value == nil {
			value = []byte{}
		}
		var own []record.Record
		s := fuzzed(&own)
		err := s.Replay(key, value)
		if err != nil && (!errors.Is(err, ErrRecord) || len(s.transactions) > 0) {
			t.Fatalf("%v left %d ids", err, len(s.transactions))
		}
		for id, x := range s.transactions {
			if d, code := s.Describe(id); code != None || d.Phase != x.phase || d.Phase.String() == "" {
				t.Fatalf("%q: %+v, %s", id, d, code)
			}
			r := s.record(id, &x.metadata)
			if err := fuzzed(new([]record.Record)).Replay(r.Key, r.Value); err != nil {
				t.Fatalf("own record of %q: %v", id, err)
			}
		}
		s.Loaded()
		if markers, ok := s.Markers(1).([]Marker); ok {
			for _, m := range markers {
				s.Written(m, m.Partitions)
			}
		}
		s.Advance(1<<40, 1<<40)
		again := fuzzed(new([]record.Record))
		for _, r := range own {
			if err := again.Replay(r.Key, r.Value); err != nil {
				t.Fatalf("own record: %v", err)
			}
		}
		for id, x := range s.transactions {
			if x.phase.decided() && len(x.unwritten) == 0 {
				t.Fatalf("%q is %s with nothing left to do", id, x.phase)
			}
		}
	})
}
