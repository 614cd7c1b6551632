package log

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// tenSegments returns a log with a segment for each of ten batches; batch i has timestamp 1000 i and 69 bytes.
func tenSegments(t testing.TB, fsys disk.FS, configure func(c *Config)) (*Log, Options) {
	t.Helper()
	o := testOptions(fsys)
	o.Config.SegmentBytes = 1
	o.Config.RetentionMs = -1
	configure(&o.Config)
	l, _ := mustOpen(t, o)
	for i := range int64(10) {
		mustAppend(t, l, batchOf(t, 1000*i, &record.Producer{ID: 5, BaseSequence: int32(i)}, "v"), 1000*i)
	}
	return l, o
}

func TestRetention(t *testing.T) {
	tests := []struct {
		name      string
		configure func(c *Config)
		nowMs     int64
		committed int64
		start     int64
		end       int64
		segments  int
	}{
		{"none", func(*Config) {}, 1 << 40, 10, 0, 10, 10},
		{"by time", func(c *Config) { c.RetentionMs = 5000 }, 9000, 10, 4, 10, 6},
		{"by time, none old enough", func(c *Config) { c.RetentionMs = 9000 }, 9000, 10, 0, 10, 10},
		{"by time, only what is committed", func(c *Config) { c.RetentionMs = 1 }, 100_000, 3, 3, 10, 7},
		{"by time, clock jumped back", func(c *Config) { c.RetentionMs = 5000 }, -9000, 10, 0, 10, 10},
		{"all of it, the active one too", func(c *Config) { c.RetentionMs = 1 }, 100_000, 10, 10, 10, 1},
		{"by size", func(c *Config) { c.RetentionBytes = 69 * 4 }, 0, 10, 6, 10, 4},
		{"by size, a segment too much stays whole", func(c *Config) { c.RetentionBytes = 69*4 + 1 }, 0, 10, 5, 10, 5},
		{"by size, down to nothing", func(c *Config) { c.RetentionBytes = 0 }, 0, 10, 10, 10, 1},
		{"by size and time", func(c *Config) { c.RetentionBytes, c.RetentionMs = 69*4, 2000 }, 9000, 10, 7, 10, 3},
		{"policy without delete", func(c *Config) { c.RetentionBytes, c.RetentionMs, c.DeleteOldSegments = 0, 0, false }, 1 << 40, 10, 0, 10, 10},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := disk.NewMem()
			l, o := tenSegments(t, fsys, test.configure)
			size := l.Size()
			deleted, err := l.Retain(test.nowMs, test.committed)
			if err != nil {
				t.Fatal(err)
			}
			check := func(l *Log) {
				t.Helper()
				if l.LogStartOffset() != test.start || l.LogEndOffset() != test.end || l.Segments() != test.segments {
					t.Errorf("[%d, %d) in %d segments, expected [%d, %d) in %d", l.LogStartOffset(), l.LogEndOffset(), l.Segments(),
						test.start, test.end, test.segments)
				}
				readAll(t, l, test.start)
			}
			check(l)
			if deleted != size-l.Size() {
				t.Errorf("%d bytes deleted, size went from %d to %d", deleted, size, l.Size())
			}
			if deleted, err := l.Retain(test.nowMs, test.committed); deleted != 0 || err != nil {
				t.Errorf("again: %d, %v", deleted, err)
			}
			again, _ := mustOpen(t, o)
			check(again)
			repeat := batchOf(t, 1, &record.Producer{ID: 5, BaseSequence: 7}, "v")
			if a, err := again.Append(repeat, AppendOptions{}); err != nil || !a.Duplicate || a.BaseOffset != 7 {
				t.Errorf("repeat of a batch that may be deleted: %+v, %v", a, err)
			}
			files := 0
			for name := range content(t, fsys) {
				if strings.HasSuffix(name, logSuffix) {
					files++
				}
				if strings.HasSuffix(name, deletedSuffix) {
					t.Errorf("%s is left", name)
				}
			}
			if files != test.segments {
				t.Errorf("%d segment files", files)
			}
		})
	}
}

func TestRecordFromTheFutureKeepsItsSegment(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.SegmentBytes, o.Config.RetentionMs = 1, 1000
	l, _ := mustOpen(t, o)
	for _, ms := range []int64{0, 1 << 50, 0} {
		mustAppend(t, l, batchOf(t, ms, nil, "v"), 0)
	}
	if _, err := l.Retain(1<<41, 3); err != nil || l.LogStartOffset() != 1 {
		t.Errorf("log start %d, %v", l.LogStartOffset(), err)
	}
}

func TestRangeOutlivesTheDeletionOfItsSegment(t *testing.T) {
	l, _ := tenSegments(t, disk.NewMem(), func(c *Config) { c.RetentionBytes = 0 })
	r, err := l.Read(2, 10, 1000, true)
	if err != nil || r == nil {
		t.Fatal(err)
	}
	if _, err := l.Retain(0, 10); err != nil {
		t.Fatal(err)
	}
	b := make(record.Batch, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil || b.BaseOffset() != 2 || b.CheckCRC() != nil {
		t.Errorf("batch at %d: %v", b.BaseOffset(), err)
	}
	r.Release()
	if _, err := l.Read(2, 10, 1000, true); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("read of a deleted offset: %v", err)
	}
}

func TestDeleteBefore(t *testing.T) {
	fsys := disk.NewMem()
	l, o := tenSegments(t, fsys, func(c *Config) { c.SegmentBytes = 300 })
	if err := l.DeleteBefore(11); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
	for _, offset := range []int64{6, 6, 2} {
		if err := l.DeleteBefore(offset); err != nil {
			t.Fatal(err)
		}
	}
	check := func(l *Log, start int64) {
		t.Helper()
		if l.LogStartOffset() != start {
			t.Fatalf("log start %d, expected %d", l.LogStartOffset(), start)
		}
		readAll(t, l, start)
		if _, err := l.Read(start-1, 10, 1000, true); !errors.Is(err, ErrOutOfRange) {
			t.Errorf("read before the start: %v", err)
		}
		if found, ok, err := l.OffsetForTimestamp(0); start < 10 && (err != nil || !ok || found.Offset != start) {
			t.Errorf("first record: %+v, %v, %v", found, ok, err)
		}
	}
	check(l, 6)
	segments := l.Segments()
	if deleted, err := l.Retain(0, 10); err != nil || deleted == 0 || l.Segments() >= segments {
		t.Errorf("retain: %d, %v, %d segments", deleted, err, l.Segments())
	}
	check(l, 6)
	again, _ := mustOpen(t, o)
	check(again, 6)
	if err := again.DeleteBefore(10); err != nil {
		t.Fatal(err)
	}
	check(again, 10)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	again, told := mustOpen(t, o)
	if !told.Clean {
		t.Error("not clean")
	}
	check(again, 10)
	fill(t, again, 3)
	check(again, 10)
}

func TestDeleteBeforeMakesTheEndDurableFirst(t *testing.T) {
	m := disk.NewCrashable(1)
	if err := errors.Join(m.MkdirAll("/data"), m.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	o := testOptions(m)
	l, _ := mustOpen(t, o)
	fill(t, l, 3)
	if err := l.DeleteBefore(3); err != nil {
		t.Fatal(err)
	}
	o.FS = m.CrashCopy(disk.Crash{})
	again, _ := mustOpen(t, o)
	if again.LogStartOffset() != 3 || again.LogEndOffset() != 3 {
		t.Errorf("[%d, %d)", again.LogStartOffset(), again.LogEndOffset())
	}
}

// A disk that is full to its last block: what retention writes to be safe from a crash fits all the same.
func TestRetentionMakesRoomOnAFullDisk(t *testing.T) {
	fsys := disk.NewMem()
	l, o := tenSegments(t, fsys, func(c *Config) { c.RetentionBytes = 69 * 4 })
	mustSync(t, l)
	const room = 1 << 30
	fsys.SetBudget(room)
	usage, err := fsys.Usage(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	fsys.SetBudget(room - usage.FreeBytes)
	if _, err := l.Append(batchOf(t, 10_000, nil, "v"), AppendOptions{}); !errors.Is(err, ErrFull) {
		t.Fatalf("append to a full disk: %v", err)
	}
	if deleted, err := l.Retain(0, 10); err != nil || deleted != 6*69 || l.LogStartOffset() != 6 {
		t.Fatalf("deleted %d bytes, log start %d, %v", deleted, l.LogStartOffset(), err)
	}
	mustAppend(t, l, batchOf(t, 10_000, nil, "v"), 10_000)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, _ := mustOpen(t, o); l.LogStartOffset() != 6 || l.LogEndOffset() != 11 {
		t.Errorf("opened again: [%d, %d)", l.LogStartOffset(), l.LogEndOffset())
	}
}
