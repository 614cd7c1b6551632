package log

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

func TestTruncateRollsEverythingBack(t *testing.T) {
	for to := range int64(51) {
		for _, synced := range []bool{true, false} {
			fsys := disk.NewMem()
			l, _ := mustOpen(t, testOptions(fsys))
			fillProduced(t, l, 50)
			if synced {
				mustSync(t, l)
			}
			if err := l.Truncate(to); err != nil {
				t.Fatalf("truncate to %d: %v", to, err)
			}
			if synced && l.DurableOffset() != to {
				t.Errorf("to %d: durable %d", to, l.DurableOffset())
			}
			if to > 0 {
				wantProduced(t, l, to)
			} else if len(l.Producers()) != 0 || l.LatestEpoch() != UndefinedEpoch || l.Size() != 0 {
				t.Errorf("something is left: %v, epoch %d, %d bytes", l.Producers(), l.LatestEpoch(), l.Size())
			}
			// Grow again, differently, and see that nothing of the old end shines through.
			fill(t, l, 7)
			again, told := mustOpen(t, testOptions(fsys))
			if told.TornBytes != 0 || again.LogEndOffset() != to+7 {
				t.Fatalf("to %d: end %d, %+v", to, again.LogEndOffset(), told)
			}
			if values := readAll(t, again, to); len(values) != 7 || values[0] == "value" {
				t.Fatalf("to %d: %v", to, values)
			}
		}
	}
}

func TestTruncateInsideABatchCutsTheBatch(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	fill(t, l, 2)
	mustAppend(t, l, batchOf(t, 1, nil, "a", "b", "c"), 1)
	if err := l.Truncate(4); err != nil || l.LogEndOffset() != 2 {
		t.Errorf("log end %d, %v", l.LogEndOffset(), err)
	}
	wantValues(t, l, 0, 2)
}

func TestTruncateBeforeTheStartIsRefused(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	fill(t, l, 9)
	if err := l.DeleteBefore(5); err != nil {
		t.Fatal(err)
	}
	if err := l.Truncate(4); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("truncate: %v", err)
	}
	if err := l.Truncate(5); err != nil || l.LogEndOffset() != 5 {
		t.Errorf("log end %d, %v", l.LogEndOffset(), err)
	}
	fill(t, l, 3)
	wantValues(t, l, 5, 8)
}

func TestTruncateKeepsProducersWhoseSegmentsAreGone(t *testing.T) {
	l, _ := tenSegments(t, disk.NewMem(), func(c *Config) { c.RetentionBytes = 69 * 4 })
	if _, err := l.Retain(0, 10); err != nil {
		t.Fatal(err)
	}
	if err := l.Truncate(7); err != nil {
		t.Fatal(err)
	}
	for _, sequence := range []int32{2, 4, 6} {
		repeat := batchOf(t, 1, &record.Producer{ID: 5, BaseSequence: sequence}, "v")
		if a, err := l.Append(repeat, AppendOptions{}); err != nil || !a.Duplicate || a.BaseOffset != int64(sequence) {
			t.Errorf("repeat of sequence %d: %+v, %v", sequence, a, err)
		}
	}
	next := batchOf(t, 1, &record.Producer{ID: 5, BaseSequence: 7}, "v")
	if a, err := l.Append(next, AppendOptions{}); err != nil || a.Duplicate || a.BaseOffset != 7 {
		t.Errorf("next: %+v, %v", a, err)
	}
}
