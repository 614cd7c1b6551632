package log

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/invariant"
	"github.com/millrace/millrace/log/record"
)

func TestAppendAllocatesNothing(t *testing.T) {
	if invariant.Enabled {
		t.Skip("invariants are checked in this build, and that allocates")
	}
	config := DefaultConfig()
	config.LogAppendTime = true
	l, _ := mustOpen(t, Options{FS: disk.OS(), Dir: filepath.Join(t.TempDir(), "t-0"), Config: config})
	defer l.Close()
	producer := &record.Producer{ID: 1}
	b := batchOf(t, 1000, producer, string(make([]byte, 10_000)))
	sequence, nowMs := int32(0), int64(1000)
	next := func() {
		nowMs++
		// As the next of the producer, so that its state changes too.
		b[53], b[54], b[55], b[56] = byte(sequence>>24), byte(sequence>>16), byte(sequence>>8), byte(sequence)
		sequence++
		if _, err := l.Append(b, AppendOptions{NowMs: nowMs, LeaderEpoch: 3}); err != nil {
			t.Fatal(err)
		}
	}
	next()
	if n := testing.AllocsPerRun(2000, next); n != 0 {
		t.Errorf("%v allocations per append", n)
	}
	if n := (*l.segments.Load()).active().indexes.Load().offsets.len(); n < 1000 {
		t.Errorf("only %d index entries", n)
	}
}

func TestReadAllocatesTheRangeOnly(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the race detector empties pools")
	}
	l, _ := mustOpen(t, Options{FS: disk.OS(), Dir: filepath.Join(t.TempDir(), "t-0"), Config: DefaultConfig()})
	defer l.Close()
	for range 200 {
		mustAppend(t, l, batchOf(t, 1000, nil, string(make([]byte, 10_000))), 1)
	}
	from := int64(0)
	read := func() {
		r, err := l.Read(from, 200, 100_000, true)
		if err != nil {
			t.Fatal(err)
		}
		from = (from + 37) % 200
		r.Release()
	}
	if n := testing.AllocsPerRun(1000, read); n > 1 {
		t.Errorf("%v allocations per read", n)
	}
}
