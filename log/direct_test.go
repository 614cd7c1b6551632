package log

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/internal/invariant"
	"github.com/millrace/millrace/log/record"
)

// directOptions is a log on a real file system whose batches are written directly. It skips the test if there is none
// that has direct writes.
func directOptions(t testing.TB, config Config) Options {
	t.Helper()
	parent, err := os.MkdirTemp(".", ".direct-*") // the tests' own directory may be in memory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	probe := filepath.Join(parent, "probe")
	if err := os.WriteFile(probe, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := disk.OpenDirect(disk.OS(), probe)
	if err != nil {
		t.Skip(err)
	}
	file.Close()
	config.Direct = true
	return Options{FS: disk.OS(), Dir: filepath.Join(parent, "t-0"), Config: config, NowMs: 1_000_000}
}

// sizes are value sizes around those of blocks and rings.
var sizes = []int{0, 1, 100, 4000, 4096, 4097, 9000, 60_000, ringMin - 200, ringMin, 70_000, 300_000, ringMax / 2, ringMax, ringMax + 5000, 17}

func TestDirectlyWrittenFilesAreTheSameAsBuffered(t *testing.T) {
	config := DefaultConfig()
	config.SegmentBytes = 9 << 20
	direct := directOptions(t, config)
	buffered := Options{FS: disk.OS(), Dir: filepath.Join(t.TempDir(), "t-0"), Config: config, NowMs: 1_000_000}
	var contents []map[string]string
	for _, options := range []Options{direct, buffered} {
		l, _ := mustOpen(t, options)
		for i := range 3 * len(sizes) {
			value := strings.Repeat(string(rune('a'+i%26)), sizes[i%len(sizes)])
			mustAppend(t, l, batchOf(t, int64(i), nil, value), int64(i))
			if got := readAll(t, l, int64(i)); len(got) != 1 || got[0] != value {
				t.Fatalf("batch %d of %d bytes is not read back before it is synced", i, len(value))
			}
			if i%5 == 4 {
				mustSync(t, l)
			}
		}
		if got := readAll(t, l, 0); len(got) != 3*len(sizes) {
			t.Fatalf("%d records", len(got))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		content := map[string]string{}
		for _, suffix := range []string{logSuffix, indexSuffix, timeIndexSuffix} {
			names, err := filepath.Glob(filepath.Join(options.Dir, "*"+suffix))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				data, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				content[filepath.Base(name)] = string(data)
			}
		}
		contents = append(contents, content)
	}
	wantSameContent(t, contents[1], contents[0])
	if len(contents[0]) < 9 {
		t.Errorf("only %d files", len(contents[0]))
	}
	l, told := mustOpen(t, direct)
	defer l.Close()
	if !told.Clean || len(readAll(t, l, 0)) != 3*len(sizes) {
		t.Errorf("opened again: %+v", told)
	}
}

// TestDirectWritesGoOnWhileOthersReadAndSync has everything happen at once: what is read must be what was appended.
func TestDirectWritesGoOnWhileOthersReadAndSync(t *testing.T) {
	config := DefaultConfig()
	config.SegmentBytes = 20 << 20
	l, _ := mustOpen(t, directOptions(t, config))
	defer l.Close()
	value := func(offset int64) []byte {
		return bytes.Repeat([]byte{byte('a' + offset%26)}, 100+int(offset*7919%60_000))
	}
	const batches = 1500
	var background sync.WaitGroup
	var done atomic.Bool
	background.Go(func() {
		for !done.Load() {
			if _, err := l.Sync(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for _, behind := range []func() int64{l.DurableOffset, l.LogEndOffset} {
		background.Go(func() {
			if err := follow(l, batches, behind, value); err != nil {
				t.Error(err)
			}
		})
	}
	for offset := range int64(batches) {
		mustAppend(t, l, batchOf(t, 1000+offset, nil, string(value(offset))), 1000+offset)
	}
	mustSync(t, l)
	done.Store(true)
	background.Wait()
}

// follow reads up to the end that is told until it has all batches.
func follow(l *Log, batches int64, end func() int64, value func(offset int64) []byte) error {
	for offset := int64(0); offset < batches; {
		r, err := l.Read(offset, end(), 200_000, true)
		if err != nil {
			return fmt.Errorf("read at %d: %w", offset, err)
		}
		if r == nil {
			continue
		}
		var data bytes.Buffer
		_, err = r.WriteTo(&data)
		r.Release()
		if err != nil {
			return fmt.Errorf("read at %d: %w", offset, err)
		}
		for rest := data.Bytes(); len(rest) > 0; offset++ {
			var b record.Batch
			if b, rest, err = record.Next(rest); err != nil || b.CheckCRC() != nil || b.BaseOffset() != offset {
				return fmt.Errorf("batch at %d: %v, crc %v", offset, err, b.CheckCRC())
			}
			if !bytes.Contains(b, value(offset)) {
				return fmt.Errorf("batch at %d is another one", offset)
			}
		}
	}
	return nil
}

func TestRangesOfDirectlyWrittenSegments(t *testing.T) {
	config := DefaultConfig()
	l, _ := mustOpen(t, directOptions(t, config))
	defer l.Close()
	backed := func(offset int64) bool {
		t.Helper()
		r, err := l.Read(offset, l.LogEndOffset(), 1, true)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		_, ok := r.File().(disk.Backed)
		return ok
	}
	for range 200 {
		mustAppend(t, l, batchOf(t, 1000, nil, strings.Repeat("x", 30_000)), 1000)
	}
	if backed(199) {
		t.Error("what is not in the file yet is said to be")
	}
	mustSync(t, l)
	if !backed(0) {
		t.Error("what has left the ring is not sent from the file")
	}
	if err := l.Roll(1000); err != nil {
		t.Fatal(err)
	}
	if !backed(199) {
		t.Error("a sealed segment is not sent from the file")
	}
}

func TestDirectAppendAllocatesNothing(t *testing.T) {
	if invariant.Enabled {
		t.Skip("invariants are checked in this build, and that allocates")
	}
	l, _ := mustOpen(t, directOptions(t, DefaultConfig()))
	defer l.Close()
	b := batchOf(t, 1000, nil, string(make([]byte, 10_000)))
	for range ringMax / 10_000 { // the ring grows to what it will be
		mustAppend(t, l, b, 1000)
	}
	if n := testing.AllocsPerRun(2000, func() { mustAppend(t, l, b, 1000) }); n >= 1 {
		t.Errorf("%v allocations per append", n)
	}
}

func TestWithoutDirectWritesBatchesAreBuffered(t *testing.T) {
	m := disk.NewMem()
	var told bytes.Buffer
	o := testOptions(struct{ disk.FS }{m})
	o.Config.Direct = true
	o.Logger = slog.New(slog.NewTextHandler(&told, nil))
	l, _ := mustOpen(t, o)
	fill(t, l, 50)
	mustSync(t, l)
	wantValues(t, l, 0, 50)
	if n := strings.Count(told.String(), "level=WARN"); n != 1 || l.Segments() < 3 {
		t.Errorf("%d segments, %d warnings:\n%s", l.Segments(), n, told.String())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestChangeOfDirectMakesAllDurable(t *testing.T) {
	m := disk.NewCrashable(1)
	if err := errors.Join(m.MkdirAll("/data"), m.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	o := testOptions(m)
	l, _ := mustOpen(t, o)
	for i := range 6 {
		o.Config.Direct = i%2 == 0
		fill(t, l, 5)
		if err := l.Configure(o.Config); err != nil {
			t.Fatal(err)
		}
		if l.DurableOffset() != l.LogEndOffset() {
			t.Errorf("change %d: durable to %d of %d", i, l.DurableOffset(), l.LogEndOffset())
		}
		recovered, told := mustOpen(t, Options{FS: m.CrashCopy(disk.Crash{}), Dir: testDir, Config: o.Config})
		wantValues(t, recovered, 0, int64(5*(i+1)))
		if told.TornBytes+told.ZeroBytes > 0 {
			t.Errorf("change %d: the file is longer than its batches: %+v", i, told)
		}
	}
}

// TestRingsOfAllLogsAreBounded grows rings until they may not grow any more, and gives them back.
func TestRingsOfAllLogsAreBounded(t *testing.T) {
	taken := ringsMax - ringBytes.Load()
	ringBytes.Add(taken)
	defer ringBytes.Add(-taken)
	o := testOptions(disk.NewMem())
	o.Config.Direct, o.Config.SegmentBytes = true, 1<<30
	l, _ := mustOpen(t, o)
	value := strings.Repeat("x", 30_000)
	for range 20 {
		mustAppend(t, l, batchOf(t, 1000, nil, value), 1000)
	}
	mustAppend(t, l, batchOf(t, 1000, nil, strings.Repeat("y", 3*ringMin)), 1000)
	ring := len(l.mu.active.durability.(*directWrites).mu.ring)
	if ring != ringMin || len(readAll(t, l, 0)) != 21 {
		t.Errorf("ring of %d bytes, %d records", ring, len(readAll(t, l, 0)))
	}
	ringBytes.Add(-taken)
	for range 200 {
		mustAppend(t, l, batchOf(t, 1000, nil, value), 1000)
	}
	if ring = len(l.mu.active.durability.(*directWrites).mu.ring); ring != ringMax {
		t.Errorf("ring of %d bytes with room to grow", ring)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left := ringBytes.Add(taken) - taken; left != ringsMax-taken {
		t.Errorf("%d bytes of rings are left after the log was closed", left-(ringsMax-taken))
	}
}

func TestReadsAtTheEndOfTheRing(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.Direct = true
	l, _ := mustOpen(t, o)
	mustAppend(t, l, batchOf(t, 1000, nil, "some value"), 1000)
	file, err := l.segments.Load().active().open()
	if err != nil {
		t.Fatal(err)
	}
	size := l.Size()
	for _, at := range []int64{0, 10, size - 1, size, size + 100} {
		p := make([]byte, 50+size)
		n, err := file.ReadAt(p, at)
		if int64(n) != max(0, size-at) || err != io.EOF {
			t.Errorf("read at %d of %d: %d, %v", at, size, n, err)
		}
	}
}

// TestNothingButZerosLiesBehindTheEnd looks into the file after each of many syncs whose last blocks are filled
// differently.
func TestNothingButZerosLiesBehindTheEnd(t *testing.T) {
	m := disk.NewMem()
	o := testOptions(m)
	o.Config.Direct, o.Config.SegmentBytes = true, 1<<20
	l, _ := mustOpen(t, o)
	longer := false
	for i := range 200 {
		mustAppend(t, l, batchOf(t, 1000, nil, strings.Repeat("x", i*397%9000)), 1000)
		mustSync(t, l)
		active := l.segments.Load().active()
		data, err := disk.ReadFile(m, active.path(logSuffix))
		if err != nil {
			t.Fatal(err)
		}
		behind := data[active.size.Load():]
		longer = longer || len(behind) > block
		if left := bytes.TrimLeft(behind, "\x00"); len(left) > 0 {
			t.Fatalf("sync %d: %d bytes behind the end are not zero", i, len(left))
		}
	}
	if !longer {
		t.Error("no zeros were written ahead")
	}
}

func TestRingOfAnIdleLogShrinks(t *testing.T) {
	o := testOptions(disk.NewMem())
	o.Config.Direct, o.Config.SegmentBytes, o.Config.RetentionMs = true, 1<<30, -1
	l, _ := mustOpen(t, o)
	before := ringBytes.Load()
	retained := func(want int) {
		t.Helper()
		if _, err := l.Retain(1000, l.LogEndOffset()); err != nil {
			t.Fatal(err)
		}
		if ring := len(l.mu.active.durability.(*directWrites).mu.ring); ring != want {
			t.Errorf("ring of %d bytes, want %d", ring, want)
		}
	}
	for range 60 {
		mustAppend(t, l, batchOf(t, 1000, nil, strings.Repeat("x", 100_000)), 1000)
	}
	retained(ringMax)
	retained(ringMax) // it has batches that are not in the file
	mustSync(t, l)
	retained(ringMin)
	if ringBytes.Load() != before {
		t.Errorf("%d bytes of rings are still counted", ringBytes.Load()-before)
	}
	for range 60 {
		mustAppend(t, l, batchOf(t, 1000, nil, strings.Repeat("y", 1000)), 1000)
	}
	mustSync(t, l)
	if got := readAll(t, l, 0); len(got) != 120 {
		t.Errorf("%d records", len(got))
	}
}
