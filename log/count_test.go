package log

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// countModel says of each offset what a count has to find there.
type countModel struct {
	data      []bool
	timestamp []int64 // of the batch
	thin      []bool  // inside a batch of which compaction left some records
}

// add enters a batch that begins at the end of the model.
func (m *countModel) add(b record.Batch) {
	offsets, left := int(b.LastOffsetDelta())+1, int(b.Count())
	if b.IsControl() {
		left = 0
	}
	for i := range offsets {
		// Which of the records of a thin batch are left, no header tells: the model does not care, and never asks.
		m.data = append(m.data, i < left)
		m.thin = append(m.thin, left > 0 && left < offsets && i > 0)
		m.timestamp = append(m.timestamp, b.BaseTimestampMs())
	}
}

// skip enters offsets without a batch.
func (m *countModel) skip(count int) {
	for range count {
		m.data, m.thin, m.timestamp = append(m.data, false), append(m.thin, false), append(m.timestamp, -1)
	}
}

func (m *countModel) backlog(from, to int64) Backlog {
	b := Backlog{FirstTimestampMs: -1}
	for at := from; at < to; at++ {
		if m.data[at] {
			b.Records++
			if b.FirstTimestampMs < 0 {
				b.FirstTimestampMs = m.timestamp[at]
			}
		}
	}
	return b
}

// cuts says whether a bound lies inside of a thin batch.
func (m *countModel) cuts(offset int64) bool { return offset < int64(len(m.thin)) && m.thin[offset] }

// drawBatch returns a batch of data, of control, or one that compaction has thinned out, maybe to nothing.
func drawBatch(t *rapid.T, tb testing.TB) record.Batch {
	timestampMs := rapid.Int64Range(1, 1_000_000).Draw(t, "timestamp")
	kind := rapid.SampledFrom([]string{"data", "data", "data", "control", "thin", "empty"}).Draw(t, "kind")
	if kind == "control" {
		return record.EndTxnMarker{ProducerID: 1, Type: record.ControlCommit, TimestampMs: timestampMs}.Batch()
	}
	values := make([]string, rapid.IntRange(1, 5).Draw(t, "records"))
	b := batchOf(tb, timestampMs, nil, values...)
	switch kind {
	case "thin":
		binary.BigEndian.PutUint32(b[23:], uint32(len(values)+rapid.IntRange(0, 3).Draw(t, "removed")))
	case "empty":
		binary.BigEndian.PutUint32(b[23:], uint32(len(values)))
		binary.BigEndian.PutUint32(b[57:], 0)
		b = b[:record.HeaderSize]
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	}
	b.SetMaxTimestampMs(b.MaxTimestampMs()) // the checksum
	return b
}

// writeSegments writes segments as compaction may leave them, with gaps between batches.
func writeSegments(t *rapid.T, tb testing.TB, fsys disk.FS, dir string, m *countModel) {
	for s := range rapid.IntRange(0, 3).Draw(t, "segments") {
		name := path(dir, int64(len(m.data)), logSuffix)
		var content []byte
		for i := range rapid.IntRange(1, 6).Draw(t, "batches") {
			if s+i > 0 && rapid.Bool().Draw(t, "gap") {
				m.skip(rapid.IntRange(1, 4).Draw(t, "skipped"))
			}
			b := drawBatch(t, tb)
			b.SetBaseOffset(int64(len(m.data)))
			b.SetPartitionLeaderEpoch(0)
			m.add(b)
			content = append(content, b...)
		}
		if err := disk.WriteAtomic(fsys, name, content); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestBacklogIsWhatIsThere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fsys := disk.NewMem()
		options := testOptions(fsys)
		options.Config.Compacted = true
		if err := fsys.MkdirAll(options.Dir); err != nil {
			t.Fatal(err)
		}
		m := &countModel{}
		writeSegments(rt, t, fsys, options.Dir, m)
		l, _ := mustOpen(t, options)
		defer func() { _ = l.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				b := drawBatch(rt, t)
				if _, err := l.Append(b, AppendOptions{Internal: true}); err != nil {
					rt.Fatal(err)
				}
				m.add(b)
			},
			"roll": func(rt *rapid.T) {
				if err := l.Roll(0); err != nil {
					rt.Fatal(err)
				}
			},
			"open again": func(rt *rapid.T) {
				if err := l.Close(); err != nil {
					rt.Fatal(err)
				}
				l, _ = mustOpen(t, options)
			},
			"": func(rt *rapid.T) { checkBacklog(rt, l, m) },
		})
	})
}

func checkBacklog(t *rapid.T, l *Log, m *countModel) {
	end := len(m.data)
	if end == 0 {
		return
	}
	from := int64(rapid.IntRange(0, end).Draw(t, "from"))
	to := int64(rapid.IntRange(int(from), end).Draw(t, "to"))
	if poor, err := l.Backlog(from, to, &Effort{Left: rapid.IntRange(0, 6).Draw(t, "effort")}); err != nil {
		t.Fatal(err)
	} else if want := m.backlog(from, to); !poor.Estimated && !m.cuts(from) && !m.cuts(to) && poor.Records != want.Records {
		t.Fatalf("[%d, %d) with little effort: %+v is not called an estimate, there are %d", from, to, poor, want.Records)
	}
	got, err := l.Backlog(from, to, &Effort{Left: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	if from < to && (m.cuts(from) || m.cuts(to)) {
		if !got.Estimated || got.Records > to-from || got.Records < 0 {
			t.Fatalf("[%d, %d) cuts a batch: %+v", from, to, got)
		}
		return
	}
	if want := m.backlog(from, to); got != want {
		t.Fatalf("[%d, %d): %+v, want %+v", from, to, got, want)
	}
}

// A log that was only ever appended to costs nothing to count, however long it is.
func TestBacklogOfADenseLogReadsNothing(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	fill(t, l, 500)
	segments := l.Segments()
	if segments < 2 {
		t.Fatal("one segment only")
	}
	effort := &Effort{Left: segments + 2*lookupCost}
	got, err := l.Backlog(3, l.LogEndOffset()-1, effort)
	if err != nil || got.Records != l.LogEndOffset()-4 || got.Estimated || got.FirstTimestampMs < 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// What one call has walked, the next one does not walk again.
func TestBacklogGetsFurtherWithEachCall(t *testing.T) {
	fsys := disk.NewMem()
	options := testOptions(fsys)
	l, _ := mustOpen(t, options)
	for i := range 300 {
		mustAppend(t, l, batchOf(t, int64(i+1), nil, fmt.Sprint(i)), 1)
	}
	if _, err := l.Append(record.EndTxnMarker{ProducerID: 1, TimestampMs: 5}.Batch(), AppendOptions{Internal: true}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _ = mustOpen(t, options)
	defer l.Close()
	calls := 0
	for {
		calls++
		got, err := l.Backlog(0, 301, &Effort{Left: 40 + l.Segments()})
		if err != nil {
			t.Fatal(err)
		}
		if !got.Estimated {
			if got.Records != 300 || calls < 3 {
				t.Errorf("%+v after %d calls", got, calls)
			}
			return
		}
		if calls > 100 {
			t.Fatalf("still %+v after %d calls", got, calls)
		}
	}
}

func TestBacklogOutsideOfTheLog(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	fill(t, l, 10)
	for _, c := range []struct{ from, to, want int64 }{{-5, 3, 3}, {8, 99, 2}, {10, 10, 0}, {12, 10, 0}, {5, 2, 0}} {
		got, err := l.Backlog(c.from, c.to, &Effort{Left: 100})
		if err != nil || got.Records != c.want || got.Estimated || (got.FirstTimestampMs >= 0) != (c.want > 0) {
			t.Errorf("[%d, %d): %+v, %v", c.from, c.to, got, err)
		}
	}
	if err := l.DeleteBefore(4); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Backlog(0, 10, &Effort{Left: 100}); err != nil || got.Records != 6 {
		t.Errorf("after records were deleted: %+v, %v", got, err)
	}
}

func TestProducersAreCounted(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	defer l.Close()
	for id := range int64(3) {
		mustAppend(t, l, batchOf(t, 1, &record.Producer{ID: id}, "v"), 1)
	}
	if n := l.ProducerCount(); n != 3 {
		t.Errorf("%d producers", n)
	}
}

// The writer and any number of scrapes are at it at the same time; when they are done, nothing was counted twice or left out.
func TestBacklogIsCountedWhileTheLogGrows(t *testing.T) {
	fsys := disk.NewMem()
	options := testOptions(fsys)
	l, _ := mustOpen(t, options)
	for range 50 {
		mustAppend(t, l, batchOf(t, 1, nil, "a", "b"), 1)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _ = mustOpen(t, options) // what is there now is only known by a walk
	defer l.Close()
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				end := l.LogEndOffset()
				if b, err := l.Backlog(0, end, &Effort{Left: 50}); err != nil || b.Records > end {
					t.Errorf("%+v up to %d, %v", b, end, err)
					return
				}
			}
		})
	}
	for range 200 {
		mustAppend(t, l, batchOf(t, 1, nil, "a", "b"), 1)
		marker := record.EndTxnMarker{ProducerID: 1, Type: record.ControlCommit}.Batch()
		if _, err := l.Append(marker, AppendOptions{Internal: true}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
	if b, err := l.Backlog(0, l.LogEndOffset(), &Effort{Left: 100_000}); err != nil || b.Records != 500 || b.Estimated {
		t.Errorf("%+v, %v; want 500 records", b, err)
	}
}
