package log

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

const testDir = "/data/t-0"

// testConfig has small segments and an index entry for nearly every batch.
func testConfig() Config {
	c := DefaultConfig()
	c.SegmentBytes = 1000
	c.IndexIntervalBytes = 100
	return c
}

func testOptions(fsys disk.FS) Options {
	return Options{FS: fsys, Dir: testDir, Config: testConfig(), NowMs: 1_000_000}
}

func mustOpen(t testing.TB, o Options) (*Log, Recovery) {
	t.Helper()
	l, told, err := Open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l, told
}

// batchOf builds one batch with a record per value, all at one timestamp.
func batchOf(t testing.TB, timestampMs int64, producer *record.Producer, values ...string) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.Options{Producer: producer})
	for _, value := range values {
		b.Add(timestampMs, nil, []byte(value))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return append(record.Batch(nil), batch...)
}

func mustAppend(t testing.TB, l *Log, b record.Batch, nowMs int64) Appended {
	t.Helper()
	a, err := l.Append(b, AppendOptions{NowMs: nowMs})
	if err != nil {
		t.Fatalf("append at %d: %v", l.LogEndOffset(), err)
	}
	return a
}

// fill appends n batches of one record each, whose value and timestamp say their offset.
func fill(t testing.TB, l *Log, n int) {
	t.Helper()
	for range n {
		offset := l.LogEndOffset()
		mustAppend(t, l, batchOf(t, 1000+offset, nil, fmt.Sprintf("value-%d", offset)), 1000+offset)
	}
}

func mustSync(t testing.TB, l *Log) {
	t.Helper()
	if durable, err := l.Sync(); err != nil || durable != l.LogEndOffset() {
		t.Fatalf("sync: %d, %v, log end %d", durable, err, l.LogEndOffset())
	}
}

// readAll returns the values of all records in [from, log end) and checks that their offsets are dense.
func readAll(t testing.TB, l *Log, from int64) []string {
	t.Helper()
	var values []string
	for offset := from; offset < l.LogEndOffset(); {
		r, err := l.Read(offset, l.LogEndOffset(), 1<<20, true)
		if err != nil || r == nil {
			t.Fatalf("read at %d of %d: %v, %v", offset, l.LogEndOffset(), r, err)
		}
		data := make([]byte, r.Size())
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatalf("read range at %d: %v", offset, err)
		}
		next := r.NextOffset()
		r.Release()
		for len(data) > 0 {
			b, rest, err := record.Next(data)
			if err != nil {
				t.Fatalf("batch at %d: %v", offset, err)
			}
			if err := b.CheckCRC(); err != nil {
				t.Fatalf("batch at %d: %v", offset, err)
			}
			reader, err := b.Records(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			for reader.Next() {
				if reader.Offset() < offset {
					continue
				}
				if reader.Offset() != offset {
					t.Fatalf("offset %d where %d was expected", reader.Offset(), offset)
				}
				values = append(values, string(reader.Record().Value))
				offset++
			}
			data = rest
		}
		if next != offset {
			t.Fatalf("range says next offset %d, its batches %d", next, offset)
		}
	}
	return values
}
