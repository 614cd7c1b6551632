package log

import (
	"errors"
	"maps"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/disk"
)

// compactedByKafka is a directory as Kafka's cleaner leaves it: segments end before the next one begins, or have no batch at all.
func compactedByKafka(t *testing.T) *disk.Mem {
	t.Helper()
	fsys := disk.NewCrashable(1)
	l, _ := mustOpen(t, testOptions(fsys))
	keyed(t, l, 0, 100, 7)
	list := *l.segments.Load()
	fsys = fsys.KillCopy()
	for i, s := range list[:len(list)-1] {
		var lastBatch int64
		file, err := fsys.OpenWrite(s.path(logSuffix))
		if err == nil {
			err = walkHeaders(file, 0, s.size.Load(), func(_ headerView, position, _ int64) bool {
				lastBatch = position
				return true
			})
		}
		if err == nil && i%4 != 2 {
			err = file.Truncate([]int64{lastBatch, 0, -1, lastBatch}[i%4])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fromKafka(t, fsys)
	for name := range content(t, fsys) {
		file, err := fsys.OpenWrite(filepath.Join(testDir, name))
		if err == nil {
			err = errors.Join(file.Sync(), file.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{testDir, filepath.Dir(testDir), "/"} {
		if err := fsys.SyncDir(dir); err != nil {
			t.Fatal(err)
		}
	}
	return fsys
}

// TestCompactionOfKafkasDirectorySurvivesKills stops it after each operation, by a kill and by a power loss.
func TestCompactionOfKafkasDirectorySurvivesKills(t *testing.T) {
	for _, segmentBytes := range []int64{1000, 3000} {
		fsys := compactedByKafka(t)
		o := testOptions(fsys)
		o.Config.Compacted, o.Config.SegmentBytes = true, segmentBytes
		l, _ := mustOpen(t, o)
		want := valuesOf(t, l)
		var left []*disk.Mem
		fsys.OnOperation(func(n int64, _ disk.Call) {
			left = append(left, fsys.KillCopy(), fsys.CrashCopy(disk.Crash{Seed: uint64(n)}))
		})
		merged := mustCompact(t, l).SegmentsMerged + mustCompact(t, l).SegmentsMerged
		fsys.OnOperation(nil)
		if got := valuesOf(t, l); !maps.Equal(got, want) || len(want) != 7 || merged < 5 {
			t.Fatalf("%d segments merged: %v, were %v", merged, got, want)
		}
		for i, fsys := range left {
			o.FS = fsys
			l, _ := mustOpen(t, o)
			if got := valuesOf(t, l); !maps.Equal(got, want) {
				t.Errorf("after operation %d: %v, were %v", i/2+1, got, want)
			}
			mustCompact(t, l)
			if got := valuesOf(t, l); !maps.Equal(got, want) {
				t.Errorf("after operation %d, compacted: %v, were %v", i/2+1, got, want)
			}
		}
	}
}
