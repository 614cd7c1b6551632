package log

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// keyed appends batches of one record each: value i has the key i modulo keys.
func keyed(t testing.TB, l *Log, from, to, keys int) {
	t.Helper()
	for i := from; i < to; i++ {
		b := record.NewBuilder(record.Options{})
		b.Add(int64(1000+i), fmt.Appendf(nil, "key-%d", i%keys), fmt.Appendf(nil, "value-%d", i))
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, batch, int64(1000+i))
	}
	mustSync(t, l)
}

func mustCompact(t testing.TB, l *Log) Compaction {
	t.Helper()
	done, err := l.Compact(CompactOptions{NowMs: 1_000_000, Before: l.LogEndOffset(), MapBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// compacted is a log of 200 records with 3 keys, compacted, as a crash leaves it.
func compacted(t *testing.T) (*disk.Mem, *Log) {
	t.Helper()
	fsys := disk.NewCrashable(1)
	l, _ := mustOpen(t, testOptions(fsys))
	keyed(t, l, 0, 200, 3)
	before := l.Segments()
	done := mustCompact(t, l)
	if before < 10 || done.BytesOut > done.BytesIn/5 || done.Keys != 3 {
		t.Fatalf("%d segments, %+v", before, done)
	}
	if again := mustCompact(t, l); l.Segments() > 3 || again.SegmentsMerged < 8 { // now they are small
		t.Fatalf("%d segments of %d, %+v", l.Segments(), before, again)
	}
	return fsys, l
}

func TestOffsetsStayAndAGapGivesTheNextBatch(t *testing.T) {
	_, l := compacted(t)
	for offset := range int64(200) {
		r, err := l.Read(offset, 200, 1, true)
		if err != nil || r == nil {
			t.Fatalf("read at %d: %v, %v", offset, r, err)
		}
		data := make([]byte, r.Size())
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		r.Release()
		b := record.Batch(data)
		reader, err := b.Records(1 << 20)
		if err != nil || b.LastOffset() < offset || r.NextOffset() <= b.LastOffset() && r.NextOffset() < 200 {
			t.Fatalf("read at %d: [%d, %d], next %d, %v", offset, b.BaseOffset(), b.LastOffset(), r.NextOffset(), err)
		}
		for reader.Next() {
			if want := fmt.Sprintf("value-%d", reader.Offset()); string(reader.Record().Value) != want {
				t.Errorf("%s at %d", reader.Record().Value, reader.Offset())
			}
		}
	}
}

// TestGapsAreLegalOnlyBelowTheCleanerCheckpoint takes a batch away below and above it, with and without the policy compact.
func TestGapsAreLegalOnlyBelowTheCleanerCheckpoint(t *testing.T) {
	fsys, l := compacted(t)
	sparse := l.cleaner.Load().sparse
	keyed(t, l, 200, 300, 100)
	opened := func(fsys disk.FS, compacted bool) error {
		o := testOptions(fsys)
		o.Config.Compacted = compacted
		_, _, err := Open(o)
		return err
	}
	for _, policy := range []bool{false, true} {
		if err := opened(fsys.KillCopy(), policy); err != nil {
			t.Errorf("compacted %v: %v", policy, err)
		}
		holed := fsys.KillCopy()
		for _, s := range *l.segments.Load() {
			if s.base > sparse && s.size.Load() > 300 { // dense, sealed
				change(t, holed, filepath.Base(s.path(logSuffix)), withoutSecond(t))
				break
			}
		}
		if err := opened(holed, policy); !isCorrupt(err) {
			t.Errorf("a hole above %d, compacted %v: %v", sparse, policy, err)
		}
		holed = fsys.KillCopy()
		change(t, holed, cleanerName, func([]byte) []byte { return []byte("no checkpoint") })
		if err := opened(holed, policy); err != nil {
			t.Errorf("cleaner checkpoint damaged, compacted %v: %v", policy, err)
		}
		holed = fsys.KillCopy()
		if err := holed.Remove(filepath.Join(testDir, cleanerName)); err != nil {
			t.Fatal(err)
		}
		if err := opened(holed, policy); policy == isCorrupt(err) {
			t.Errorf("no cleaner checkpoint, compacted %v: %v", policy, err)
		}
	}
}

func withoutSecond(t *testing.T) func(data []byte) []byte {
	return func(data []byte) []byte {
		first, rest, err := record.Next(data)
		if err != nil {
			t.Fatal(err)
		}
		if _, rest, err = record.Next(rest); err != nil {
			t.Fatal(err)
		}
		return append(append([]byte(nil), first...), rest...)
	}
}

// TestRangesStayReadableWhileTheirSegmentsAreReplaced holds a Range of every segment through compactions.
func TestRangesStayReadableWhileTheirSegmentsAreReplaced(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	keyed(t, l, 0, 100, 3)
	type held struct {
		r    *Range
		data string
	}
	content := func(r *Range) string {
		data := make([]byte, r.Size())
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	var all []held
	for offset := int64(0); offset < 100; {
		r, err := l.Read(offset, 100, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		offset = r.NextOffset()
		all = append(all, held{r, content(r)})
	}
	mustCompact(t, l)
	keyed(t, l, 100, 200, 3)
	mustCompact(t, l)
	for _, h := range all {
		if content(h.r) != h.data {
			t.Errorf("the bytes of a range changed")
		}
		h.r.Release()
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestTruncateIntoAGapEndsAtTheBatchBefore(t *testing.T) {
	fsys, l := compacted(t)
	list := *l.segments.Load()
	to := list[1].base - 1 // the last batch of a segment is never taken away
	if err := l.Truncate(to); err != nil {
		t.Fatal(err)
	}
	if end := l.LogEndOffset(); end > to || end < 0 {
		t.Errorf("log end %d, truncated to %d", end, to)
	}
	if dirty := l.cleaner.Load().dirty; dirty > l.LogEndOffset() {
		t.Errorf("first dirty offset %d, log end %d", dirty, l.LogEndOffset())
	}
	end := l.LogEndOffset()
	keyed(t, l, int(end), int(end)+50, 3)
	killed, _ := mustOpen(t, testOptions(fsys.KillCopy()))
	if killed.LogEndOffset() != l.LogEndOffset() {
		t.Errorf("log end %d after a kill, %d before", killed.LogEndOffset(), l.LogEndOffset())
	}
	mustCompact(t, l)
}

// TestDamagedSegmentIsNotCompacted flips a bit in a segment in the middle: the error says where, and nothing is lost.
func TestDamagedSegmentIsNotCompacted(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	keyed(t, l, 0, 100, 3)
	list := *l.segments.Load()
	name := list[len(list)/2].path(logSuffix)
	if err := fsys.FlipBit(name, 8*100); err != nil {
		t.Fatal(err)
	}
	before, segments := content(t, fsys), l.Segments()
	_, err := l.Compact(CompactOptions{NowMs: 1, Before: 100, MapBytes: 1 << 20})
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) || corrupt.Path != name || l.Segments() != segments || l.Err() != nil {
		t.Fatalf("%v, %d segments of %d, %v", err, l.Segments(), segments, l.Err())
	}
	wantSameContent(t, before, content(t, fsys))
	fill(t, l, 1)
}

// TestAbortedTransactionsSupersedeNothing compacts a log as Kafka's transactions leave it.
func TestAbortedTransactionsSupersedeNothing(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	sequences := map[int64]int32{}
	write := func(producer int64, key, value string) {
		b := record.NewBuilder(record.Options{Transactional: true, Producer: &record.Producer{ID: producer, BaseSequence: sequences[producer]}})
		sequences[producer]++
		b.Add(1000, []byte(key), []byte(value))
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, batch, 1000)
	}
	mark := func(producer int64, kind record.ControlType) {
		if _, err := l.Append(record.EndTxnMarker{Type: kind, ProducerID: producer, TimestampMs: 1000}.Batch(), AppendOptions{NowMs: 1000, Internal: true}); err != nil {
			t.Fatal(err)
		}
	}
	write(1, "a", "committed")
	write(1, "b", "old")
	mark(1, record.ControlCommit)
	write(2, "a", "aborted")
	write(3, "b", "new")
	mark(2, record.ControlAbort)
	mark(3, record.ControlCommit)
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	open := l.LogEndOffset()
	write(4, "a", "open")
	write(4, "b", "open")
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	done := mustCompact(t, l)
	if done.To != open {
		t.Errorf("compacted to %d, an open transaction begins at %d", done.To, open)
	}
	var values []string
	markers := 0
	for _, s := range *l.segments.Load() {
		r := batchReader{pace: func(int) error { return nil }}
		err := r.each(s, func(b record.Batch, _ bool) (bool, error) {
			if b.IsControl() {
				markers++
				return true, nil
			}
			reader, err := b.Records(1 << 20)
			for err == nil && reader.Next() {
				values = append(values, string(reader.Record().Key)+"="+string(reader.Record().Value))
			}
			return true, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(values, " "); got != "a=committed b=new a=open b=open" || markers != 3 {
		t.Errorf("%s, %d markers", got, markers)
	}
}

// TestLagsDecideWhatIsCompacted looks at min.compaction.lag.ms and max.compaction.lag.ms.
func TestLagsDecideWhatIsCompacted(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.Compacted, o.Config.MinCompactionLagMs, o.Config.MaxCompactionLagMs = true, 100, 500
	l, _ := mustOpen(t, o)
	keyed(t, l, 0, 100, 3) // timestamps 1000 to 1099
	look := func(nowMs int64) Cleanable {
		t.Helper()
		found, err := l.Cleanable(nowMs, l.LogEndOffset())
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := look(1050); found.End != 0 || found.DirtyBytes != 0 || found.OverdueMs > 0 {
		t.Errorf("all too young: %+v", found)
	}
	part := look(1150)
	if part.End <= 0 || part.End > 51 || part.Ratio() != 1 || part.OverdueMs > 0 {
		t.Errorf("half of it old enough: %+v", part)
	}
	if found := look(1501); found.OverdueMs != 1 || found.End <= part.End {
		t.Errorf("overdue: %+v", found)
	}
	active := (*l.segments.Load()).active().base
	if err := l.RollOverdue(1500 + active); err != nil || l.Segments() == 1 || (*l.segments.Load()).active().base != active {
		t.Errorf("rolled too early, %v", err)
	}
	if err := l.RollOverdue(1501 + active); err != nil || (*l.segments.Load()).active().base != 100 {
		t.Errorf("not rolled, %v", err)
	}
	if _, err := l.Compact(CompactOptions{NowMs: 5000, Before: 100, MapBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if found := look(5000); found.DirtyBytes != 0 || found.FirstDirty != 100 || found.OverdueMs > 0 {
		t.Errorf("compacted: %+v", found)
	}
	if r, err := l.Read(99, 100, 1, true); err != nil || r == nil {
		t.Errorf("the last offset: %v, %v", r, err)
	} else {
		r.Release()
	}
}

// TestTombstonesGoWhenTheirHorizonHasPassed needs no new record for it.
func TestTombstonesGoWhenTheirHorizonHasPassed(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.DeleteRetentionMs = 1000
	l, _ := mustOpen(t, o)
	b := record.NewBuilder(record.Options{Codec: record.LZ4})
	for i := range 10 {
		b.Add(1000, fmt.Appendf(nil, "key-%d", i), nil)
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, batch, 1000)
	keyed(t, l, 10, 20, 1)
	if err := l.Roll(2000); err != nil {
		t.Fatal(err)
	}
	compactAt := func(nowMs int64) Compaction {
		t.Helper()
		done, err := l.Compact(CompactOptions{NowMs: nowMs, Before: 20, MapBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	overdue := func(nowMs int64) int64 {
		t.Helper()
		found, err := l.Cleanable(nowMs, 20)
		if err != nil {
			t.Fatal(err)
		}
		return found.OverdueMs
	}
	if done := compactAt(5000); done.RecordsOut != 10 { // nine tombstones and the newest value of key-0
		t.Errorf("%+v", done)
	}
	if o.Config.DeleteRetentionMs = 1; l.Configure(o.Config) != nil { // a horizon that is set stays
		t.Fatal(err)
	}
	if compactAt(5999); overdue(5999) > 0 {
		t.Error("overdue before the horizon")
	}
	if overdue(6000) <= 0 {
		t.Error("not overdue at the horizon")
	}
	if done := compactAt(6000); done.RecordsOut != 1 || overdue(1<<40) > 0 {
		t.Errorf("%+v, overdue %d", done, overdue(1<<40))
	}
}

// TestCompactionOnAFullDiskLeavesNothingBehind gives a compaction less room than it needs, block by block more of it.
func TestCompactionOnAFullDiskLeavesNothingBehind(t *testing.T) {
	full := 0
	for room := int64(0); ; room += 4096 {
		fsys := disk.NewCrashable(1)
		l, _ := mustOpen(t, testOptions(fsys))
		keyed(t, l, 0, 60, 50)
		before, segments := l.Size(), l.Segments()
		fsys.SetBudget(fsys.UsedBytes() + room)
		_, err := l.Compact(CompactOptions{NowMs: 1, Before: 60, MapBytes: 1 << 20})
		if err == nil {
			break
		}
		full++
		if !errors.Is(err, ErrFull) || l.Err() != nil || l.Size() > before || l.Segments() > segments {
			t.Fatalf("%d bytes of room: %v, %v, %d bytes of %d", room, err, l.Err(), l.Size(), before)
		}
		for name := range content(t, fsys) {
			if strings.HasSuffix(name, cleanedSuffix) || strings.HasSuffix(name, swapSuffix) {
				t.Errorf("%d bytes of room: %s is left", room, name)
			}
		}
		fsys.SetBudget(-1)
		mustCompact(t, l)
	}
	if full < 2 {
		t.Errorf("full only %d times", full)
	}
}
