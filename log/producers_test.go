package log

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/millrace/millrace/log/record"
)

// produced is one batch of a producer, one record per sequence.
type produced struct {
	epoch   int16
	first   int32
	records int
}

func (p produced) batch(t testing.TB, offset int64) record.Batch {
	values := make([]string, p.records)
	b := batchOf(t, 1000, &record.Producer{ID: 7, Epoch: p.epoch, BaseSequence: p.first}, values...)
	b.SetBaseOffset(offset)
	return b
}

func TestSequenceRules(t *testing.T) {
	tests := []struct {
		name     string
		before   []produced
		next     produced
		repeated int // place in before, -1: none
		err      error
	}{
		{"unknown producer begins at 0", nil, produced{0, 0, 1}, -1, nil},
		{"unknown producer may go on anywhere", nil, produced{3, 17, 2}, -1, nil},
		{"next in sequence", []produced{{0, 0, 3}}, produced{0, 3, 1}, -1, nil},
		{"gap", []produced{{0, 0, 3}}, produced{0, 4, 1}, -1, ErrOutOfOrderSequence},
		{"overlap that is no repeat", []produced{{0, 0, 3}}, produced{0, 2, 2}, -1, ErrOutOfOrderSequence},
		{"repeat of the last", []produced{{0, 0, 3}}, produced{0, 0, 3}, 0, nil},
		{"repeat with another length", []produced{{0, 0, 3}}, produced{0, 0, 2}, -1, ErrOutOfOrderSequence},
		{"repeat of the fifth last", []produced{{0, 0, 1}, {0, 1, 1}, {0, 2, 1}, {0, 3, 1}, {0, 4, 1}}, produced{0, 0, 1}, 0, nil},
		{"repeat of the sixth last", []produced{{0, 0, 1}, {0, 1, 1}, {0, 2, 1}, {0, 3, 1}, {0, 4, 1}, {0, 5, 1}}, produced{0, 0, 1}, -1, ErrOutOfOrderSequence},
		{"0 follows 2^31-1", []produced{{0, math.MaxInt32, 1}}, produced{0, 0, 1}, -1, nil},
		{"batch across the wrap", []produced{{0, math.MaxInt32 - 1, 1}}, produced{0, math.MaxInt32, 3}, -1, nil},
		{"repeat of a batch across the wrap", []produced{{0, math.MaxInt32, 3}}, produced{0, math.MaxInt32, 3}, 0, nil},
		{"after a batch across the wrap", []produced{{0, math.MaxInt32, 3}}, produced{0, 2, 1}, -1, nil},
		{"no other sequence follows 2^31-1", []produced{{0, math.MaxInt32, 1}}, produced{0, 1, 1}, -1, ErrOutOfOrderSequence},
		{"new epoch begins at 0", []produced{{0, 0, 3}}, produced{1, 0, 1}, -1, nil},
		{"new epoch elsewhere", []produced{{0, 0, 3}}, produced{1, 3, 1}, -1, ErrOutOfOrderSequence},
		{"older epoch", []produced{{2, 0, 3}}, produced{1, 3, 1}, -1, ErrInvalidProducerEpoch},
		{"repeat of an older epoch", []produced{{1, 0, 3}, {2, 0, 1}}, produced{1, 0, 3}, -1, ErrInvalidProducerEpoch},
		{"same sequences in a new epoch are no repeat", []produced{{1, 0, 1}}, produced{2, 0, 1}, -1, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, offsets, next := newProducers(), []int64{}, int64(100)
			for _, before := range test.before {
				b := before.batch(t, next)
				p.apply(b, 1)
				offsets = append(offsets, next)
				next = b.NextOffset()
			}
			repeated, err := p.check(test.next.batch(t, next))
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, expected %v", err, test.err)
			}
			if (repeated == nil) != (test.repeated < 0) {
				t.Fatalf("repeated %v, expected place %d", repeated, test.repeated)
			}
			if repeated != nil && repeated.lastOffset-int64(repeated.offsetDelta) != offsets[test.repeated] {
				t.Fatalf("repeated %+v, expected offset %d", repeated, offsets[test.repeated])
			}
		})
	}
}

func TestTransactionMarkerFencesOlderEpochs(t *testing.T) {
	p := newProducers()
	p.apply(produced{1, 0, 3}.batch(t, 0), 1)
	marker := record.EndTxnMarker{ProducerID: 7, ProducerEpoch: 2}.Batch()
	if _, err := p.check(marker); err != nil {
		t.Fatalf("marker refused: %v", err)
	}
	p.apply(marker, 2)
	if _, err := p.check(produced{1, 3, 1}.batch(t, 4)); !errors.Is(err, ErrInvalidProducerEpoch) {
		t.Errorf("batch of the fenced epoch: %v", err)
	}
	if _, err := p.check(produced{2, 0, 1}.batch(t, 4)); err != nil {
		t.Errorf("first batch of the new epoch: %v", err)
	}
}

func TestIdleProducersExpire(t *testing.T) {
	p := newProducers()
	p.apply(produced{0, 0, 1}.batch(t, 0), 1000)
	if n := p.expire(1099, 100); n != 0 {
		t.Fatalf("%d expired before their time", n)
	}
	if n := p.expire(500, 100); n != 0 {
		t.Fatalf("%d expired by a clock that jumped back", n)
	}
	if n := p.expire(1100, 100); n != 1 || len(p.all()) != 0 {
		t.Fatalf("%d expired, %d left", n, len(p.all()))
	}
	if _, err := p.check(produced{0, 55, 1}.batch(t, 9)); err != nil {
		t.Errorf("a producer that expired may go on anywhere: %v", err)
	}
}

func someProducers(t testing.TB) *producers {
	p, offset := newProducers(), int64(0)
	for i := range 7 {
		b := produced{1, int32(3 * i), 3}.batch(t, offset)
		p.apply(b, int64(50+i))
		offset = b.NextOffset()
	}
	other := batchOf(t, 9, &record.Producer{ID: 8, Epoch: 4, BaseSequence: math.MaxInt32}, "a", "b")
	other.SetBaseOffset(offset)
	p.apply(other, 60)
	return p
}

func TestProducerSnapshotKeepsTheWholeWindow(t *testing.T) {
	p := someProducers(t)
	decoded, err := decodeProducers(p.encode())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p, decoded) {
		t.Errorf("decoded %+v, encoded %+v", decoded.entries[7], p.entries[7])
	}
	if count := decoded.entries[7].count; count != dedupeWindow {
		t.Errorf("%d batches remembered", count)
	}
}

func TestDamagedProducerSnapshotIsRefused(t *testing.T) {
	data := someProducers(t).encode()
	for at := range data {
		broken := append([]byte(nil), data...)
		broken[at] ^= 0x10
		if _, err := decodeProducers(broken); !errors.Is(err, errSnapshot) {
			t.Fatalf("byte %d flipped: %v", at, err)
		}
	}
	for size := range data {
		if _, err := decodeProducers(data[:size]); !errors.Is(err, errSnapshot) {
			t.Fatalf("cut to %d bytes: %v", size, err)
		}
	}
}

// kafkaSnapshot is a .snapshot file as Kafka's ProducerStateManager writes it: producer 1, epoch 2, last sequence 9,
// last offset 109, offset delta 4, timestamp 5000, coordinator epoch -1, no open transaction.
var kafkaSnapshot = []byte{
	0, 1, 0, 0, 0, 0, 0, 0, 0, 1,
	0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 109, 0, 0, 0, 4,
	0, 0, 0, 0, 0, 0, 0x13, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
}

func kafkaSnapshotWithCRC() []byte {
	data := append([]byte(nil), kafkaSnapshot...)
	putCRC(data[2:], data[6:])
	return data
}

func TestKafkaProducerSnapshotIsRead(t *testing.T) {
	p, err := decodeKafkaProducers(kafkaSnapshotWithCRC(), 77)
	if err != nil {
		t.Fatal(err)
	}
	expected := newProducerEntry(1, 2)
	expected.count, expected.lastActiveMs = 1, 77
	expected.batches[0] = producedBatch{firstSequence: 5, lastSequence: 9, lastOffset: 109, offsetDelta: 4, timestampMs: 5000}
	if !reflect.DeepEqual(p.entries[1], expected) {
		t.Errorf("read %+v, expected %+v", p.entries[1], expected)
	}
	if _, err := decodeKafkaProducers(kafkaSnapshot, 77); !errors.Is(err, errSnapshot) {
		t.Errorf("without its crc: %v", err)
	}
}
