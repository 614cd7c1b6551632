package log

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// stamped builds a batch with one record per timestamp.
func stamped(t testing.TB, codec record.Codec, timestampsMs ...int64) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.Options{Codec: codec})
	for i, ms := range timestampsMs {
		b.Add(ms, nil, fmt.Appendf(nil, "value %d", i))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return append(record.Batch(nil), batch...)
}

// wantTimes checks every look-up by time against a walk over all records.
func wantTimes(t *testing.T, l *Log, timestampsMs []int64, start int64) {
	t.Helper()
	largest := int64(-1)
	for at := start; at < int64(len(timestampsMs)); at++ {
		if largest < 0 || timestampsMs[at] > timestampsMs[largest] {
			largest = at
		}
	}
	found, ok, err := l.MaxTimestamp()
	if err != nil || ok != (largest >= 0) || ok && (found.Offset != largest || found.TimestampMs != timestampsMs[largest]) {
		t.Fatalf("max timestamp %+v, %v, %v, expected offset %d", found, ok, err, largest)
	}
	for target := int64(-1); target < 130; target++ {
		expected := int64(-1)
		for at := start; at < int64(len(timestampsMs)); at++ {
			if timestampsMs[at] >= target {
				expected = at
				break
			}
		}
		found, ok, err := l.OffsetForTimestamp(target)
		if err != nil || ok != (expected >= 0) || ok && (found.Offset != expected || found.TimestampMs != timestampsMs[expected]) {
			t.Fatalf("time %d: %+v, %v, %v, expected offset %d", target, found, ok, err, expected)
		}
	}
}

func TestLookUpByTimeWhateverTheClockDoes(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		fsys := disk.NewMem()
		o := testOptions(fsys)
		l, _ := mustOpen(t, o)
		var all []int64
		for range 60 {
			timestamps := make([]int64, 1+random.IntN(4))
			for i := range timestamps {
				// A clock that mostly goes on, and at times jumps back or ahead.
				timestamps[i] = max(0, int64(len(all))/2+random.Int64N(9)-4)
				if random.IntN(20) == 0 {
					timestamps[i] = random.Int64N(128)
				}
			}
			mustAppend(t, l, stamped(t, record.Codec(random.IntN(5)), timestamps...), 1)
			all = append(all, timestamps...)
		}
		wantTimes(t, l, all, 0)
		again, _ := mustOpen(t, o)
		wantTimes(t, again, all, 0)
		start := random.Int64N(int64(len(all)))
		if err := again.DeleteBefore(start); err != nil {
			t.Fatal(err)
		}
		wantTimes(t, again, all, start)
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		again, _ = mustOpen(t, o)
		wantTimes(t, again, all, start)
	}
}

func TestLookUpByTimeUnderLogAppendTime(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.LogAppendTime = true
	l, _ := mustOpen(t, o)
	for _, nowMs := range []int64{50, 60, 20} {
		mustAppend(t, l, stamped(t, record.None, 1, 2), nowMs)
	}
	wantTimes(t, l, []int64{50, 50, 60, 60, 20, 20}, 0)
}

func TestBatchThatCannotBeReadIsStoodForByItsFirstRecord(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	b := stamped(t, record.LZ4, 10, 20, 30)
	for i := record.HeaderSize; i < len(b); i++ {
		b[i] = 0xee
	}
	mustAppend(t, l, b, 1)
	if found, ok, err := l.OffsetForTimestamp(25); err != nil || !ok || found.Offset != 0 {
		t.Errorf("%+v, %v, %v", found, ok, err)
	}
}

func TestLookUpByTimeInAnEmptyLog(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	_, found, err := l.OffsetForTimestamp(0)
	_, foundMax, maxErr := l.MaxTimestamp()
	if found || foundMax || err != nil || maxErr != nil {
		t.Errorf("%v %v %v %v", found, foundMax, err, maxErr)
	}
}
