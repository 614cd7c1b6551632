package log

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

func TestAppendPatchesTheBatchInPlace(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.LogAppendTime = true
	l, _ := mustOpen(t, o)
	fill(t, l, 3)
	b := batchOf(t, 5, nil, "a", "b")
	a, err := l.Append(b, AppendOptions{NowMs: 7777, LeaderEpoch: 4})
	if err != nil {
		t.Fatal(err)
	}
	expected := Appended{BaseOffset: 3, LastOffset: 4, LogAppendTimeMs: 7777}
	if a != expected {
		t.Errorf("%+v, expected %+v", a, expected)
	}
	if b.BaseOffset() != 3 || b.PartitionLeaderEpoch() != 4 || b.TimestampType() != record.LogAppendTime || b.MaxTimestampMs() != 7777 {
		t.Errorf("offset %d, epoch %d, %v, %d", b.BaseOffset(), b.PartitionLeaderEpoch(), b.TimestampType(), b.MaxTimestampMs())
	}
	if err := b.Validate(); err != nil {
		t.Error(err)
	}
}

func TestRepeatIsAnsweredWithTheFirstOutcome(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.LogAppendTime = true
	l, _ := mustOpen(t, o)
	producer := &record.Producer{ID: 9}
	first := mustAppend(t, l, batchOf(t, 5, producer, "a", "b", "c"), 700)
	repeat := mustAppend(t, l, batchOf(t, 5, producer, "a", "b", "c"), 800)
	first.Duplicate = true
	if repeat != first {
		t.Errorf("repeat %+v, first %+v", repeat, first)
	}
	if l.LogEndOffset() != 3 {
		t.Errorf("log end %d", l.LogEndOffset())
	}
	producer.BaseSequence = 9
	if _, err := l.Append(batchOf(t, 5, producer, "d"), AppendOptions{}); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Errorf("gap: %v", err)
	}
	if _, err := l.Append(batchOf(t, 5, producer, "d"), AppendOptions{Internal: true}); err != nil {
		t.Errorf("internal: %v", err)
	}
}

func TestRolls(t *testing.T) {
	tests := []struct {
		name      string
		configure func(c *Config)
		append    func(t *testing.T, l *Log)
		bases     []int64
	}{
		{"before the size is exceeded", func(c *Config) { c.SegmentBytes = 160 }, func(t *testing.T, l *Log) { fill(t, l, 5) }, []int64{0, 2, 4}},
		{"a batch over the size gets its own", func(c *Config) { c.SegmentBytes = 10 }, func(t *testing.T, l *Log) { fill(t, l, 3) }, []int64{0, 1, 2}},
		{"by the age between batches", func(c *Config) { c.SegmentMs = 100 }, func(t *testing.T, l *Log) {
			for _, ms := range []int64{1000, 1100, 1101, 1150} {
				mustAppend(t, l, batchOf(t, ms, nil, "a"), 0)
			}
		}, []int64{0, 2}},
		{"not when the clock jumps back", func(c *Config) { c.SegmentMs = 100 }, func(t *testing.T, l *Log) {
			for _, ms := range []int64{1000, 10, 1050, 1} {
				mustAppend(t, l, batchOf(t, ms, nil, "a"), 0)
			}
		}, []int64{0}},
		{"by the clock without timestamps", func(c *Config) { c.SegmentMs = 100 }, func(t *testing.T, l *Log) {
			for _, ms := range []int64{5000, 5100, 5101} {
				mustAppend(t, l, batchOf(t, -1, nil, "a"), ms)
			}
		}, []int64{0, 2}},
		{"when an index is full", func(c *Config) { c.SegmentIndexBytes, c.IndexIntervalBytes = 6*offsetEntrySize, 0 }, func(t *testing.T, l *Log) {
			for range 15 {
				mustAppend(t, l, batchOf(t, 1, nil, "a"), 0)
			}
		}, []int64{0, 7, 14}},
		{"when the time index is full", func(c *Config) { c.SegmentIndexBytes, c.IndexIntervalBytes = 4*timeEntrySize, 0 }, func(t *testing.T, l *Log) {
			for ms := range int64(9) {
				mustAppend(t, l, batchOf(t, ms, nil, "a"), 0)
			}
		}, []int64{0, 4, 8}},
		{"when the relative offset would overflow", func(*Config) {}, func(t *testing.T, l *Log) {
			for range 2 {
				b := batchOf(t, 1, nil, "a")
				// The header may claim what it likes: Append takes it as validated.
				b[23], b[24], b[25], b[26] = 0x7f, 0xff, 0xff, 0xff
				mustAppend(t, l, b, 0)
			}
		}, []int64{0, math.MaxInt32 + 1}},
		{"on demand, unless empty", func(*Config) {}, func(t *testing.T, l *Log) {
			for range 2 {
				if err := l.Roll(1); err != nil {
					t.Fatal(err)
				}
				fill(t, l, 1)
			}
		}, []int64{0, 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions(disk.NewMem())
			o.Config = DefaultConfig()
			test.configure(&o.Config)
			l, _ := mustOpen(t, o)
			test.append(t, l)
			var bases []int64
			for _, s := range *l.segments.Load() {
				bases = append(bases, s.base)
			}
			if len(bases) != len(test.bases) {
				t.Fatalf("segments at %v, expected %v", bases, test.bases)
			}
			for i := range bases {
				if bases[i] != test.bases[i] {
					t.Fatalf("segments at %v, expected %v", bases, test.bases)
				}
			}
		})
	}
}

func TestJitterDiffersByPartitionAndStaysBelowItsBound(t *testing.T) {
	config := DefaultConfig()
	config.SegmentJitterMs = 1000
	seen := map[int64]bool{}
	for _, dir := range []string{"/data/a-0", "/data/a-1", "/data/b-0", "/data/b-1"} {
		o := testOptions(disk.NewMem())
		o.Dir = dir
		l, _ := mustOpen(t, o)
		jitter := l.jitterMs(0, &config)
		if jitter < 0 || jitter >= 1000 || jitter != l.jitterMs(0, &config) {
			t.Errorf("jitter %d", jitter)
		}
		seen[jitter] = true
	}
	if len(seen) < 3 {
		t.Errorf("%d different jitters of 4", len(seen))
	}
}

func TestFullDiskRefusesTheBatchAndTheLogGoesOn(t *testing.T) {
	for _, short := range []int64{0, 30} {
		faults := disk.NewFaults(disk.NewMem())
		l, _ := mustOpen(t, testOptions(faults))
		fill(t, l, 5)
		faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt}, Pattern: "*.log", Err: syscall.ENOSPC, ShortBytes: short})
		if _, err := l.Append(batchOf(t, 1, nil, "lost"), AppendOptions{}); !errors.Is(err, ErrFull) {
			t.Fatalf("append: %v", err)
		}
		if l.Err() != nil {
			t.Fatalf("log failed: %v", l.Err())
		}
		wantValues(t, l, 0, 5)
		faults.SetRules()
		fill(t, l, 5)
		wantValues(t, l, 0, 10)
		again, told := mustOpen(t, testOptions(faults))
		if told.TornBytes != 0 {
			t.Errorf("the refused batch left %d bytes", told.TornBytes)
		}
		wantValues(t, again, 0, 10)
	}
}

func TestFullDiskDuringRollLeavesTheOldSegmentActive(t *testing.T) {
	m := disk.NewMem()
	l, _ := mustOpen(t, testOptions(m))
	fill(t, l, 5)
	m.SetBudget(m.UsedBytes())
	if err := l.Roll(1); !errors.Is(err, ErrFull) {
		t.Fatalf("roll: %v", err)
	}
	wantValues(t, l, 0, 5)
	m.SetBudget(-1)
	fill(t, l, 40)
	wantValues(t, l, 0, 45)
	again, _ := mustOpen(t, testOptions(m))
	wantValues(t, again, 0, 45)
}

func TestBatchThatCannotBeCutOffFailsTheLog(t *testing.T) {
	faults := disk.NewFaults(disk.NewMem())
	l, _ := mustOpen(t, testOptions(faults))
	fill(t, l, 5)
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpWriteAt}, Pattern: "*.log", Err: syscall.ENOSPC, ShortBytes: 30},
		disk.Rule{Kinds: []disk.Kind{disk.OpTruncate}, Err: syscall.EIO})
	if _, err := l.Append(batchOf(t, 1, nil, "lost"), AppendOptions{}); !errors.Is(err, ErrFailed) {
		t.Fatalf("append: %v", err)
	}
	faults.SetRules()
	if _, err := l.Append(batchOf(t, 1, nil, "later"), AppendOptions{}); !errors.Is(err, ErrFailed) {
		t.Errorf("append to a failed log: %v", err)
	}
	wantValues(t, l, 0, 5)
}

func TestFailedSyncIsStickyAndNeverRetried(t *testing.T) {
	for kind, direct := range map[disk.Kind]bool{disk.OpSyncData: false, disk.OpWriteDirect: true} {
		t.Run(kind.String(), func(t *testing.T) { failedSyncIsStickyAndNeverRetried(t, kind, direct) })
	}
}

func failedSyncIsStickyAndNeverRetried(t *testing.T, kind disk.Kind, direct bool) {
	faults := disk.NewFaults(disk.NewMem())
	o := testOptions(faults)
	o.Config.Direct = direct
	l, _ := mustOpen(t, o)
	fill(t, l, 5)
	mustSync(t, l)
	fill(t, l, 2)
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{kind}, Pattern: "*.log", Nth: 1, Err: syscall.EIO})
	for range 2 {
		if durable, err := l.Sync(); !errors.Is(err, ErrFailed) || durable != 5 {
			t.Errorf("sync: %d, %v", durable, err)
		}
	}
	calls := faults.Calls()
	if last := calls[len(calls)-1]; len(faults.Failed()) != 1 || last.Kind == kind {
		t.Errorf("%d syncs failed, the last call was %v", len(faults.Failed()), last)
	}
	faults.SetRules()
	if _, err := l.Append(batchOf(t, 1, nil, "later"), AppendOptions{}); !errors.Is(err, ErrFailed) {
		t.Errorf("append: %v", err)
	}
	wantValues(t, l, 0, 7)
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, told := mustOpen(t, testOptions(faults)); told.Clean {
		t.Error("a failed log counts as closed in order")
	}
}

func TestSyncSaysHowFarItReached(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	if durable, err := l.Sync(); durable != 0 || err != nil {
		t.Errorf("empty log: %d, %v", durable, err)
	}
	fill(t, l, 30)
	rolled := l.DurableOffset()
	if base := (*l.segments.Load()).active().base; rolled != base {
		t.Errorf("durable %d, active segment begins at %d", rolled, base)
	}
	mustSync(t, l)
	fill(t, l, 1)
	if l.DurableOffset() != 30 {
		t.Errorf("durable %d after an append", l.DurableOffset())
	}
}

func TestClosedLogRefusesEverything(t *testing.T) {
	l, _ := mustOpen(t, testOptions(disk.NewMem()))
	fill(t, l, 3)
	r, err := l.Read(0, 3, 1000, true)
	if err != nil || r == nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	data := make([]byte, r.Size())
	if _, err := r.ReadAt(data, 0); err != nil {
		t.Errorf("a range read before: %v", err)
	}
	r.Release()
	_, appendErr := l.Append(batchOf(t, 1, nil, "a"), AppendOptions{})
	_, readErr := l.Read(0, 3, 1000, true)
	_, syncErr := l.Sync()
	_, retainErr := l.Retain(1, 3)
	_, _, timeErr := l.OffsetForTimestamp(1)
	for _, err := range []error{appendErr, readErr, syncErr, retainErr, timeErr, l.Truncate(0), l.DeleteBefore(1), l.Roll(1)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
	}
}

// TestAbandonedLogSyncsNothing: what is about to be deleted is not written to the disk first.
func TestAbandonedLogSyncsNothing(t *testing.T) {
	mem := disk.NewMem()
	faults := disk.NewFaults(mem)
	l, _ := mustOpen(t, testOptions(faults))
	fill(t, l, 5)
	faults.SetRules(disk.Rule{Kinds: []disk.Kind{disk.OpSyncData, disk.OpSync, disk.OpSyncDir, disk.OpWriteAt}, Err: syscall.EIO})
	if err := l.Abandon(); err != nil {
		t.Errorf("abandon: %v", err)
	}
	if failed := faults.Failed(); len(failed) > 0 {
		t.Errorf("abandon did %v", failed)
	}
	if _, err := l.Append(batchOf(t, 1, nil, "x"), AppendOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("append to an abandoned log: %v", err)
	}
	again, told := mustOpen(t, testOptions(mem)) // as after a crash
	defer again.Close()
	if told.Clean || again.LogEndOffset() != 5 {
		t.Errorf("opened again: %+v, log end %d", told, again.LogEndOffset())
	}
}

func TestCloseOfAnUntouchedLogWritesNothing(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	fill(t, l, 3)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	faults := disk.NewFaults(fsys)
	l, told := mustOpen(t, testOptions(faults))
	wantValues(t, l, 0, 3)
	if err := l.Close(); err != nil || !told.Clean {
		t.Fatalf("%+v, %v", told, err)
	}
	for _, call := range faults.Calls() {
		if call.Kind <= disk.OpSyncDir {
			t.Errorf("%v", call)
		}
	}
}

func TestTopicIDFileIsKafkas(t *testing.T) {
	fsys := disk.NewMem()
	o := testOptions(fsys)
	o.TopicID = [16]byte{0xfb, 0xff, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	mustOpen(t, o)
	data, err := disk.ReadFile(fsys, filepath.Join(testDir, partitionMetadataName))
	if err != nil || string(data) != "version: 0\ntopic_id: -_8DBAUGBwgJCgsMDQ4PEA\n" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for name, edit := range map[string]func(o *Options){
		"no file system":       func(o *Options) { o.FS = nil },
		"no directory":         func(o *Options) { o.Dir = "" },
		"segment bytes":        func(o *Options) { o.Config.SegmentBytes = 1 << 31 },
		"segment ms":           func(o *Options) { o.Config.SegmentMs = 0 },
		"segment jitter ms":    func(o *Options) { o.Config.SegmentJitterMs = -1 },
		"segment index bytes":  func(o *Options) { o.Config.SegmentIndexBytes = 1 },
		"index interval bytes": func(o *Options) { o.Config.IndexIntervalBytes = -1 },
		"producer expiration":  func(o *Options) { o.Config.ProducerExpirationMs = 0 },
	} {
		o := testOptions(disk.NewMem())
		edit(&o)
		if _, _, err := Open(o); err == nil || !strings.Contains(err.Error(), strings.Fields(name)[0]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFirstChangeTakesTheCleanMarkBack(t *testing.T) {
	for name, change := range map[string]func(l *Log) error{
		"append":        func(l *Log) error { fill(t, l, 1); return nil },
		"roll":          func(l *Log) error { return l.Roll(1) },
		"truncate":      func(l *Log) error { return l.Truncate(1) },
		"delete before": func(l *Log) error { return l.DeleteBefore(1) },
	} {
		fsys := disk.NewMem()
		l, _ := mustOpen(t, testOptions(fsys))
		fill(t, l, 3)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, _ = mustOpen(t, testOptions(fsys))
		if err := change(l); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		data, err := disk.ReadFile(fsys, filepath.Join(testDir, checkpointName))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := decodeCheckpoint(data); err != nil || c.clean {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}
