package log

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

func TestReadBounds(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.SegmentBytes = 1 << 20
	l, _ := mustOpen(t, o)
	for range 30 {
		mustAppend(t, l, batchOf(t, 1, nil, strings.Repeat("a", 40), strings.Repeat("b", 40)), 1)
	}
	size := int(l.Size()) / 30
	tests := []struct {
		name       string
		from, to   int64
		maxBytes   int
		atLeastOne bool
		position   int // in batches, -1: nothing
		batches    int
	}{
		{"all", 0, 60, 1 << 20, false, 0, 30},
		{"exactly three", 0, 60, 3 * size, false, 0, 3},
		{"one byte less than three", 0, 60, 3*size - 1, false, 0, 2},
		{"from inside a batch", 7, 60, 2 * size, false, 3, 2},
		{"up to inside a batch", 6, 11, 1 << 20, false, 3, 2},
		{"up to the middle of the first batch", 6, 7, 1 << 20, true, -1, 0},
		{"too small", 6, 60, size - 1, false, -1, 0},
		{"too small, but at least one", 6, 60, size - 1, true, 3, 1},
		{"no room at all, but at least one", 6, 60, 0, true, 3, 1},
		{"the last one", 59, 60, 1 << 20, true, 29, 1},
		{"at the end", 60, 60, 1 << 20, true, -1, 0},
		{"nothing to read", 10, 10, 1 << 20, true, -1, 0},
		{"to before from", 10, 4, 1 << 20, true, -1, 0},
		{"to beyond the end", 58, 99, 1 << 20, true, 29, 1},
		{"far in the middle", 41, 60, 5 * size, true, 20, 5},
	}
	for range 2 { // the second time with what the first one found
		for _, test := range tests {
			r, err := l.Read(test.from, test.to, test.maxBytes, test.atLeastOne)
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
			if r == nil {
				if test.position >= 0 {
					t.Errorf("%s: nothing", test.name)
				}
				continue
			}
			if r.Position() != int64(test.position*size) || r.Size() != test.batches*size || r.NextOffset() != int64(2*(test.position+test.batches)) {
				t.Errorf("%s: position %d, size %d, next %d, batches have %d bytes", test.name, r.Position(), r.Size(), r.NextOffset(), size)
			}
			r.Release()
		}
	}
	for _, from := range []int64{-1, 61} {
		if _, err := l.Read(from, 60, 100, true); !errors.Is(err, ErrOutOfRange) {
			t.Errorf("from %d: %v", from, err)
		}
	}
}

func TestRangeReadsWhatItNames(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	fill(t, l, 5)
	r, err := l.Read(1, 4, 1<<20, true)
	if err != nil || r == nil {
		t.Fatal(err)
	}
	defer r.Release()
	var written bytes.Buffer
	if n, err := r.WriteTo(&written); err != nil || n != int64(r.Size()) {
		t.Fatalf("write: %d of %d, %v", n, r.Size(), err)
	}
	whole := make([]byte, r.Size())
	if n, err := r.ReadAt(whole, 0); n != len(whole) || err != nil || !bytes.Equal(whole, written.Bytes()) {
		t.Errorf("read: %d, %v", n, err)
	}
	part := make([]byte, 10)
	if n, err := r.ReadAt(part, int64(r.Size())-4); n != 4 || err != io.EOF || !bytes.Equal(part[:4], whole[len(whole)-4:]) {
		t.Errorf("read over the end: %d, %v", n, err)
	}
	if n, err := r.ReadAt(part, int64(r.Size())); n != 0 || err != io.EOF {
		t.Errorf("read at the end: %d, %v", n, err)
	}
	if b := record.Batch(whole); b.BaseOffset() != 1 {
		t.Errorf("first batch at %d", b.BaseOffset())
	}
}

func TestWrongIndexEntriesMisleadNobody(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.SegmentBytes = 1 << 20
	l, _ := mustOpen(t, o)
	fill(t, l, 300)
	x := (*l.segments.Load()).active().indexes.Load()
	entries := x.offsets.all()
	for i := range entries[:len(entries)-1] {
		if i%7 != 0 {
			entries[i].position += 3 // still ascending, and no batch begins there
		}
	}
	for i := range x.times.all() {
		x.times.all()[i].relative++
	}
	for from := range int64(300) {
		r, err := l.Read(from, from+1, 1<<20, true)
		if err != nil || r == nil {
			t.Fatalf("read at %d: %v", from, err)
		}
		b := make(record.Batch, r.Size())
		if _, err := r.ReadAt(b, 0); err != nil || b.BaseOffset() != from {
			t.Fatalf("read at %d: batch at %d, %v", from, b.BaseOffset(), err)
		}
		r.Release()
		if found, ok, err := l.OffsetForTimestamp(1000 + from); err != nil || !ok || found.Offset != from {
			t.Fatalf("time %d: %+v, %v, %v", 1000+from, found, ok, err)
		}
	}
}

// TestReadersMeetWriterAndRetention is for the race detector above all.
func TestReadersMeetWriterAndRetention(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.RetentionBytes = 5000
	l, _ := mustOpen(t, o)
	const batches = 2000
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			data := make([]byte, 1<<20)
			for from := int64(0); from < batches; {
				r, err := l.Read(from, l.DurableOffset(), 700, true)
				if errors.Is(err, ErrOutOfRange) {
					from = l.LogStartOffset()
					continue
				}
				if err != nil {
					t.Errorf("read at %d: %v", from, err)
					return
				}
				if r == nil {
					continue
				}
				n := r.Size()
				if _, err := r.ReadAt(data[:n], 0); err != nil {
					t.Errorf("read range at %d: %v", from, err)
					return
				}
				b, _, err := record.Next(data[:n])
				if err != nil || b.BaseOffset() != from || b.CheckCRC() != nil {
					t.Errorf("at %d: batch at %d, %v", from, b.BaseOffset(), err)
					return
				}
				from = r.NextOffset()
				r.Release()
			}
		})
	}
	wait.Go(func() {
		for durable := int64(0); durable < batches; {
			var err error
			if durable, err = l.Sync(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wait.Go(func() {
		for l.DurableOffset() < batches {
			if _, err := l.Retain(1, l.DurableOffset()); err != nil {
				t.Error(err)
				return
			}
			if _, _, err := l.OffsetForTimestamp(1000 + l.LogStartOffset()); err != nil {
				t.Error(err)
				return
			}
			l.Producers()
			l.EndOffsetForEpoch(0)
		}
	})
	fill(t, l, batches)
	wait.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, told := mustOpen(t, o)
	if !told.Clean {
		t.Error("not clean")
	}
	wantValues(t, again, again.LogStartOffset(), batches)
}
