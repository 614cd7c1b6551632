package log

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// keyedAs appends one batch of one record.
func keyedAs(t testing.TB, l *Log, timestampMs int64, key, value string) {
	t.Helper()
	b := record.NewBuilder(record.Options{})
	var v []byte
	if value != "" {
		v = []byte(value)
	}
	b.Add(timestampMs, []byte(key), v)
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, batch, timestampMs)
	mustSync(t, l)
}

// valuesOf folds all that the log has.
func valuesOf(t testing.TB, l *Log) map[string]string {
	t.Helper()
	all := map[string]string{}
	for offset := l.LogStartOffset(); offset < l.LogEndOffset(); {
		r, err := l.Read(offset, l.LogEndOffset(), 1<<20, true)
		if err != nil || r == nil {
			t.Fatalf("read at %d: %v, %v", offset, r, err)
		}
		data := make([]byte, r.Size())
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		offset = r.NextOffset()
		r.Release()
		for len(data) > 0 {
			size, err := record.Size(data)
			if err != nil {
				t.Fatal(err)
			}
			reader, err := record.Batch(data[:size]).Records(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			for reader.Next() {
				all[string(reader.Record().Key)] = string(reader.Record().Value)
			}
			data = data[size:]
		}
	}
	return all
}

// TestCutWhileCompactingKeepsWhatItLeaves cuts the log at each step of a pass: what a cut has taken away supersedes nothing.
func TestCutWhileCompactingKeepsWhatItLeaves(t *testing.T) {
	for step, done := 0, false; !done; step++ {
		l, _ := mustOpen(t, testOptions(disk.NewMem()))
		keyed(t, l, 0, 100, 20)
		left, kept := step, map[string]string(nil)
		_, err := l.Compact(CompactOptions{NowMs: 1, Before: 100, MapBytes: 1 << 20, Pace: func(int) error {
			if left--; left >= 0 || kept != nil {
				return nil
			}
			err := l.Truncate(30)
			kept = valuesOf(t, l)
			return err
		}})
		if done = kept == nil; done {
			if err != nil || step < 10 {
				t.Errorf("%d steps, %v", step, err)
			}
			return
		}
		if got := valuesOf(t, l); !errors.Is(err, ErrSuperseded) || !maps.Equal(got, kept) {
			t.Fatalf("cut at step %d, %v: %v, and after the cut it was %v", step, err, got, kept)
		}
		mustCompact(t, l)
	}
}

// TestRetentionPassesSegmentsWithoutRecords has one that compaction has emptied before one that is too large to be joined with it.
func TestRetentionPassesSegmentsWithoutRecords(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.Compacted, o.Config.DeleteOldSegments, o.Config.RetentionMs = true, true, 10_000
	l, _ := mustOpen(t, o)
	roll := func() {
		t.Helper()
		if err := l.Roll(1000); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		keyedAs(t, l, 1000, "a", "superseded")
	}
	roll()
	for i := range 12 {
		keyedAs(t, l, 1000, fmt.Sprint("unique-", i), "value")
	}
	roll()
	keyedAs(t, l, 1000, "a", "new")
	roll()
	keyedAs(t, l, 900_000, "b", "new")
	for range 2 {
		if done := mustCompact(t, l); done.SegmentsMerged > 0 {
			t.Fatalf("%+v", done)
		}
	}
	if deleted, err := l.Retain(905_000, l.LogEndOffset()); err != nil || deleted == 0 || l.Segments() != 1 || l.LogStartOffset() != 16 {
		t.Errorf("%d bytes deleted, %v, %d segments from %d on", deleted, err, l.Segments(), l.LogStartOffset())
	}
}

// TestScrubMeetsNoSwap begins a scrub at every step of compactions: what is missing for a moment is not damaged.
func TestScrubMeetsNoSwap(t *testing.T) {
	fsys := disk.NewCrashable(1)
	l, _ := mustOpen(t, testOptions(fsys))
	keyed(t, l, 0, 100, 7)
	var scrubs sync.WaitGroup
	fsys.OnOperation(func(_ int64, call disk.Call) {
		from := (*l.segments.Load())[0].base
		scrubs.Go(func() {
			for done := false; !done; {
				found, err := l.Scrub(from, unpaced)
				if err != nil || len(found.Damaged) > 0 {
					t.Errorf("after %v: %+v, %v", call, found, err)
				}
				from, done = found.Next, found.Done
			}
		})
	})
	mustCompact(t, l)
	mustCompact(t, l)
	fsys.OnOperation(nil)
	scrubs.Wait()
}

// TestBatchThatCannotGrowIsCompacted sieves a batch of a superseded record and a tombstone where there is no room for a delete
// horizon: what is superseded goes all the same, since its own tombstone may be gone before the next pass.
func TestBatchThatCannotGrowIsCompacted(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	builder := record.NewBuilder(record.Options{})
	builder.Add(1000, []byte("a"), []byte("superseded"))
	for i := range 10 {
		builder.Add(1000, fmt.Append(nil, i), nil)
	}
	b, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, b, 1000)
	keyedAs(t, l, 1000, "a", "")
	keyedAs(t, l, 1000, "b", "")
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	c, err := l.newCompaction(CompactOptions{NowMs: 1 << 50, Before: 13, MapBytes: 1 << 20})
	if err == nil {
		defer c.release()
		err = c.readKeys()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []int64{0, 1 << 20} {
		before := room
		left, err := c.sieve(b, false, &room)
		if err != nil || left.Count() != 10 || left.HasDeleteHorizon() != (before > 0) || room != before+int64(len(b)-len(left)) || c.end != 13 {
			t.Errorf("room %d: %d records, %v, room %d, end %d", before, left.Count(), err, room, c.end)
		}
	}
	room := int64(-1000)
	if left, err := c.sieve(b, false, &room); err != nil || left.Count() != 11 || c.end != b.BaseOffset() {
		t.Errorf("no room at all: %d records, %v, clean up to %d", left.Count(), err, c.end)
	}
}

// TestTombstonesWithoutRetentionAreDueAtOnce has delete.retention.ms=0: the next pass takes them, and the one after that is not due.
func TestTombstonesWithoutRetentionAreDueAtOnce(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.Compacted, o.Config.DeleteRetentionMs = true, 0
	l, _ := mustOpen(t, o)
	keyedAs(t, l, 1000, "a", "")
	keyedAs(t, l, 1000, "b", "") // the log's last record stays
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	for pass, want := range []struct {
		due     bool
		records int
	}{{false, 2}, {true, 2}, {false, 1}} {
		found, err := l.Cleanable(1_000_000, 2)
		if records := len(valuesOf(t, l)); err != nil || found.OverdueMs > 0 != want.due || records != want.records {
			t.Errorf("before pass %d: %+v, %v, %d records", pass, found, err, records)
		}
		mustCompact(t, l)
	}
}

// TestCompactionWithoutRoomLeavesNothingBehind is told so at its first write and at a later one.
func TestCompactionWithoutRoomLeavesNothingBehind(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	keyed(t, l, 0, 100, 3)
	for _, writes := range []int{0, 1} {
		left, refused := writes, errors.New("no room")
		_, err := l.Compact(CompactOptions{NowMs: 1, Before: 100, MapBytes: 1 << 20, Room: func(bytes int) error {
			if left--; left >= 0 || bytes == 0 {
				return nil
			}
			return refused
		}})
		if !errors.Is(err, refused) || l.Err() != nil {
			t.Errorf("%d writes: %v, %v", writes, err, l.Err())
		}
		for name := range content(t, fsys) {
			if strings.HasSuffix(name, cleanedSuffix) || strings.HasSuffix(name, swapSuffix) {
				t.Errorf("%d writes: %s", writes, name)
			}
		}
	}
	size := l.Size()
	if mustCompact(t, l); l.Size() > size/2 {
		t.Errorf("%d bytes of %d", l.Size(), size)
	}
}
