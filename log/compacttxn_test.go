package log

import (
	"maps"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// keyedTxn is a batch of one record in a transaction of the producer.
func keyedTxn(t testing.TB, id int64, sequence int32, key, value string) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.Options{Producer: &record.Producer{ID: id, BaseSequence: sequence}, Transactional: true})
	b.Add(1000, []byte(key), []byte(value))
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(batch)
}

// markersOf are the offsets of the log's control batches that have a record.
func markersOf(t testing.TB, l *Log) (offsets []int64) {
	t.Helper()
	for _, s := range *l.segments.Load() {
		file, err := s.open()
		if err != nil {
			t.Fatal(err)
		}
		err = walkHeaders(file, 0, s.size.Load(), func(header headerView, _, _ int64) bool {
			if header.IsControl() && header.Count() > 0 {
				offsets = append(offsets, header.BaseOffset())
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return offsets
}

// TestMarkersGoWhenTheirRecordsHave follows the markers of a commit (offset 1) and an abort (3) through passes of compaction.
func TestMarkersGoWhenTheirRecordsHave(t *testing.T) {
	fsys := disk.NewMem()
	o := testOptions(fsys)
	o.Config.Compacted, o.Config.DeleteRetentionMs = true, 500
	l, _ := mustOpen(t, o)
	nowMs := int64(1000)
	compact := func(expected ...int64) {
		t.Helper()
		keyedAs(t, l, nowMs, "filler", "x")
		if err := l.Roll(nowMs); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Compact(CompactOptions{NowMs: nowMs, Before: l.LogEndOffset(), MapBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		if markers := markersOf(t, l); !slices.Equal(markers, expected) {
			t.Errorf("at %d: markers at %v, expected %v", nowMs, markers, expected)
		}
	}
	mustAppend(t, l, keyedTxn(t, 1, 0, "a", "committed"), nowMs)
	end(t, l, endOf(1, 0, 0, record.ControlCommit))
	mustAppend(t, l, keyedTxn(t, 2, 0, "a", "aborted"), nowMs)
	end(t, l, endOf(2, 0, 0, record.ControlAbort))
	// Later transactions of the producers, so that nothing has to stay for their sake.
	for id := range int64(2) {
		mustAppend(t, l, keyedTxn(t, id+1, 1, "own-"+string(rune('a'+id)), "x"), nowMs)
		end(t, l, endOf(id+1, 0, 0, record.ControlCommit)) // at 5 and 7
	}
	compact(1, 3, 5, 7)
	if got := valuesOf(t, l); got["a"] != "committed" {
		t.Errorf("after a pass: %v", got)
	}
	checkAborted(t, l, 0, 8, AbortedTransaction{2, 2, 3})
	compact(1, 3, 5, 7) // now that of the abort has a delete horizon
	checkAborted(t, l, 0, 8)
	nowMs += 499
	compact(1, 3, 5, 7)
	nowMs++
	compact(1, 5, 7)
	nowMs += 10_000
	compact(1, 5, 7)
	keyedAs(t, l, nowMs, "a", "new") // the committed record goes, and then its marker
	compact(1, 5, 7)
	compact(1, 5, 7)
	nowMs += 500
	compact(5, 7)
	if data := txnIndexFile(t, fsys, 0); len(data) > 0 {
		t.Errorf("index of what is gone: % x", data)
	}
	expected := valuesOf(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _ = mustOpen(t, o)
	defer l.Close()
	if got := valuesOf(t, l); !maps.Equal(got, expected) || got["a"] != "new" {
		t.Errorf("%v, were %v", got, expected)
	}
}

// TestMarkersThatTellAnEpochStay has producers of which nothing else is left.
func TestMarkersThatTellAnEpochStay(t *testing.T) {
	fsys := disk.NewMem()
	o := testOptions(fsys)
	o.Config.Compacted, o.Config.DeleteRetentionMs = true, 0
	l, _ := mustOpen(t, o)
	defer l.Close()
	mustAppend(t, l, keyedTxn(t, 1, 0, "a", "aborted"), 1000)
	end(t, l, endOf(1, 4, 0, record.ControlAbort))
	keyedAs(t, l, 1000, "b", "x")
	for nowMs := range int64(4) {
		if err := l.Roll(2000); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Compact(CompactOptions{NowMs: 2000 + nowMs, Before: l.LogEndOffset(), MapBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		keyedAs(t, l, 2000, "b", "x")
	}
	if markers := markersOf(t, l); len(markers) > 0 {
		t.Errorf("markers at %v", markers)
	}
	removeSnapshots(t, l)
	found, err := loadProducers(fsys, testDir, &directory{segments: *l.segments.Load()}, l.LogEndOffset(), 0, l.logger)
	if err != nil {
		t.Fatal(err)
	}
	if e := found.producers.entries[1]; e == nil || e.epoch != 4 || e.open() {
		t.Errorf("producer from the batches alone: %+v", e)
	}
}

func removeSnapshots(t testing.TB, l *Log) {
	t.Helper()
	for _, offset := range l.mu.snapshots {
		if err := l.fsys.Remove(path(l.dir, offset, producersSuffix)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompactionStopsAtAnOpenTransaction whatever the caller takes for stable.
func TestCompactionStopsAtAnOpenTransaction(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.Compacted = true
	l, _ := mustOpen(t, o)
	defer l.Close()
	keyedAs(t, l, 1000, "a", "old")
	mustAppend(t, l, keyedTxn(t, 1, 0, "a", "open"), 1000)
	keyedAs(t, l, 1000, "b", "old")
	keyedAs(t, l, 1000, "b", "new")
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	done, err := l.Compact(CompactOptions{NowMs: 2000, Before: l.LogEndOffset(), MapBytes: 1 << 20})
	if err != nil || done.To > 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := len(readKeysOf(t, l)); got != 4 {
		t.Errorf("%d records are left", got)
	}
}

// readKeysOf are the keys of all records in order.
func readKeysOf(t testing.TB, l *Log) (keys []string) {
	t.Helper()
	r, err := l.Read(l.LogStartOffset(), l.LogEndOffset(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	data := make([]byte, r.Size())
	if _, err := r.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 {
		b, rest, err := record.Next(data)
		if err != nil {
			t.Fatal(err)
		}
		reader, err := b.Records(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		for reader.Next() {
			keys = append(keys, string(reader.Record().Key))
		}
		data = rest
	}
	return keys
}

// TestCompactionOfTransactionsSurvivesKills stops it after each operation, by a kill and by a power loss: nobody sees what was
// aborted, and what was committed is there.
func TestCompactionOfTransactionsSurvivesKills(t *testing.T) {
	fsys := crashable(t)
	o := testOptions(fsys)
	o.Config.Compacted, o.Config.SegmentBytes, o.Config.DeleteRetentionMs = true, 600, 0
	l, _ := mustOpen(t, o)
	for i := range int32(12) {
		mustAppend(t, l, keyedTxn(t, 1, i, string(rune('a'+i%4)), "committed"), 1000)
		mustAppend(t, l, keyedTxn(t, 2, i, string(rune('a'+i%4)), "aborted"), 1000)
		end(t, l, endOf(2, 0, 0, record.ControlAbort))
		end(t, l, endOf(1, 0, 0, record.ControlCommit))
	}
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	bytesBefore := l.Size()
	var left []*disk.Mem
	fsys.OnOperation(func(n int64, _ disk.Call) {
		left = append(left, fsys.KillCopy(), fsys.CrashCopy(disk.Crash{Seed: uint64(n)}),
			fsys.CrashCopy(disk.Crash{Data: disk.SurvivesSome, Names: disk.SurvivesSome, Seed: uint64(n)}))
	})
	for nowMs := range int64(4) {
		if _, err := l.Compact(CompactOptions{NowMs: 2000 + nowMs, Before: l.LogEndOffset(), MapBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	fsys.OnOperation(nil)
	if l.Size() > bytesBefore/3 {
		t.Errorf("%d bytes are left of %d", l.Size(), bytesBefore)
	}
	check := func(step int, l *Log) {
		t.Helper()
		got := committedOf(t, l)
		for _, key := range []string{"a", "b", "c", "d"} {
			if got[key] != "committed" {
				t.Fatalf("step %d: %v", step, got)
			}
		}
	}
	check(-1, l)
	for i, fsys := range left {
		o.FS = fsys
		l, _ := mustOpen(t, o)
		check(i, l)
		if _, err := l.Compact(CompactOptions{NowMs: 9000, Before: l.LogEndOffset(), MapBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		check(i, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d crashes", len(left))
}

// committedOf is the newest value of each key as a reader of the committed sees it.
func committedOf(t testing.TB, l *Log) map[string]string {
	t.Helper()
	aborted, err := l.AbortedTransactions(l.LogStartOffset(), l.LogEndOffset())
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for at := l.LogStartOffset(); at < l.LogEndOffset(); {
		r, err := l.Read(at, l.LogEndOffset(), 1<<20, true)
		if err != nil || r == nil {
			t.Fatalf("read at %d: %v, %v", at, r, err)
		}
		data := make([]byte, r.Size())
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		at = r.NextOffset()
		r.Release()
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			if err != nil {
				t.Fatal(err)
			}
			data = rest
			if b.IsControl() || slices.ContainsFunc(aborted, func(a AbortedTransaction) bool {
				return b.IsTransactional() && a.ProducerID == b.ProducerID() && a.FirstOffset <= b.BaseOffset() && b.BaseOffset() < a.LastOffset
			}) {
				continue
			}
			reader, err := b.Records(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			for reader.Next() {
				values[string(reader.Record().Key)] = string(reader.Record().Value)
			}
		}
	}
	return values
}
