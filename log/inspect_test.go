package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/disk"
	"github.com/millrace/millrace/log/record"
)

// inspected is a closed log of several segments, with producers and a marker.
func inspected(t *testing.T) disk.FS {
	t.Helper()
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	fill(t, l, 30)
	mustAppend(t, l, batchOf(t, 2000, &record.Producer{ID: 7, Epoch: 1, BaseSequence: 0}, "a", "b"), 2000)
	mustAppend(t, l, record.EndTxnMarker{Type: record.ControlCommit, ProducerID: 7, ProducerEpoch: 1, TimestampMs: 2001}.Batch(), 2001)
	mustSync(t, l)
	if _, err := l.Append(batchOf(t, 2002, nil, "newer epoch"), AppendOptions{NowMs: 2002, LeaderEpoch: 3}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return fsys
}

func verify(t *testing.T, fsys disk.FS) (Summary, []Finding) {
	t.Helper()
	before := contents(t, fsys)
	summary, findings, err := Verify(InspectOptions{FS: fsys, Dir: testDir})
	if err != nil {
		t.Fatal(err)
	}
	if after := contents(t, fsys); after != before {
		t.Fatal("the inspection changed the directory")
	}
	return summary, findings
}

func contents(t *testing.T, fsys disk.FS) string {
	t.Helper()
	entries, err := fsys.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		data, err := disk.ReadFile(fsys, filepath.Join(testDir, e.Name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %x\n", e.Name, data)
	}
	return all.String()
}

// alter replaces a file by what change makes of its content; nil removes it.
func alter(t *testing.T, fsys disk.FS, name string, change func([]byte) []byte) {
	t.Helper()
	full := filepath.Join(testDir, name)
	data, err := disk.ReadFile(fsys, full)
	if err != nil {
		t.Fatal(err)
	}
	if data = change(bytes.Clone(data)); data == nil {
		err = fsys.Remove(full)
	} else {
		err = disk.WriteAtomic(fsys, full, data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(data []byte) []byte {
		if at < 0 {
			at += len(data)
		}
		data[at] ^= 0x10
		return data
	}
}

func removed([]byte) []byte { return nil }

// names of the log files, ascending.
func logFiles(t *testing.T, fsys disk.FS) []string {
	t.Helper()
	d, err := listDirectory(fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(d.segments))
	for i, s := range d.segments {
		names[i] = fileName(s.base, logSuffix)
	}
	return names
}

func TestSoundDirectoryHasNoFindingsAndEveryBatchIsVisited(t *testing.T) {
	fsys := inspected(t)
	var batches []BatchInfo
	var segments, files []string
	summary, err := Inspect(InspectOptions{FS: fsys, Dir: testDir, Records: true}, Visitor{
		File:    func(f FileInfo) error { files = append(files, f.Name+": "+f.Content); return nil },
		Segment: func(s SegmentInfo) error { segments = append(segments, s.Name); return nil },
		Batch: func(info BatchInfo, b record.Batch) error {
			if info.BaseOffset != b.BaseOffset() || info.Bytes != len(b) {
				t.Errorf("%+v does not describe the batch at %d", info, b.BaseOffset())
			}
			batches = append(batches, info)
			return nil
		},
		Finding: func(f Finding) error { t.Errorf("finding %+v", f); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(segments, logFiles(t, fsys)) || len(segments) < 3 {
		t.Errorf("segments %v of %v", segments, logFiles(t, fsys))
	}
	if len(batches) != 33 || summary.Batches != 33 || summary.Records != 34 || summary.LogEndOffset != 34 || summary.DurableOffset != 34 || !summary.ClosedInOrder {
		t.Errorf("%d batches, %+v", len(batches), summary)
	}
	next := int64(0)
	for _, b := range batches {
		if b.BaseOffset != next || !b.CRCOK || b.RecordsProblem != "" {
			t.Errorf("batch %+v after offset %d", b, next)
		}
		next = b.LastOffset + 1
	}
	if b := batches[30]; b.ProducerID != 7 || b.ProducerEpoch != 1 || b.BaseSequence != 0 || b.LastSequence != 1 || b.Count != 2 {
		t.Errorf("idempotent batch %+v", b)
	}
	if b := batches[31]; b.Control != "commit" || !b.Transactional {
		t.Errorf("marker %+v", b)
	}
	if b := batches[32]; b.LeaderEpoch != 3 {
		t.Errorf("batch of the newer epoch %+v", b)
	}
	for _, want := range []string{checkpointName + ": closed in order; log start 0; durable below offset 34", leaderEpochName + ": leader epochs: 0 from offset 0, 3 from offset 33"} {
		if !slices.ContainsFunc(files, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("no %q in %q", want, files)
		}
	}
}

func TestVerifyFindsWhatIsWrongAndSaysWhere(t *testing.T) {
	logName := func(n int) func([]string) string {
		return func(logs []string) string { return logs[(n+len(logs))%len(logs)] }
	}
	with := func(n int, suffix string) func([]string) string {
		return func(logs []string) string { return strings.TrimSuffix(logs[n], logSuffix) + suffix }
	}
	named := func(name string) func([]string) string { return func([]string) string { return name } }
	for name, c := range map[string]struct {
		file     func(logs []string) string
		change   func([]byte) []byte
		severity Severity
		problem  string
	}{
		"a bit in a record":                 {logName(1), flip(-3), Damage, "crc"},
		"a bit in a base offset":            {logName(1), flip(7), Damage, "was to follow|are missing"},
		"a bit in a length":                 {logName(1), flip(9), Damage, "unreadable"},
		"a bit in a magic byte":             {logName(1), flip(16), Damage, "unreadable"},
		"a sealed segment cut short":        {logName(0), func(d []byte) []byte { return d[:len(d)-5] }, Damage, "unreadable"},
		"the last segment cut short":        {logName(-1), func(d []byte) []byte { return d[:len(d)-5] }, Damage, "unreadable"},
		"the last segment emptied":          {logName(-1), func([]byte) []byte { return []byte{} }, Damage, "was durable"},
		"a segment in the middle removed":   {logName(1), removed, Damage, "are missing before this segment"},
		"the first segment removed":         {logName(0), removed, Damage, "the first segment at"},
		"the last segment removed":          {logName(-1), removed, Damage, "was durable"},
		"an index entry's offset":           {with(0, indexSuffix), flip(3), Repairable, "ends at offset"},
		"an index entry's position":         {with(0, indexSuffix), flip(7), Repairable, "no batch begins"},
		"an index entry beyond the end":     {with(0, indexSuffix), func(d []byte) []byte { return append(d, 0, 0, 9, 0, 0, 9, 0, 0) }, Repairable, "beyond the last batch"},
		"half an index entry":               {with(0, indexSuffix), func(d []byte) []byte { return append(d, 1, 2, 3) }, Repairable, "no whole entry"},
		"no index":                          {with(0, indexSuffix), removed, Repairable, "missing"},
		"a time entry's timestamp":          {with(0, timeIndexSuffix), flip(7), Repairable, "largest timestamp up to offset"},
		"a time index without its end":      {with(0, timeIndexSuffix), func(d []byte) []byte { return d[:len(d)-timeEntrySize] }, Repairable, "has no entry"},
		"no time index":                     {with(0, timeIndexSuffix), removed, Repairable, "missing"},
		"a bit in the checkpoint":           {named(checkpointName), flip(12), Repairable, "checkpoint is damaged"},
		"both sync marks":                   {named(syncMarkName), func(d []byte) []byte { return flip(20)(flip(20 + syncMarkSlotSize)(d)) }, Repairable, "neither slot"},
		"an epoch that begins elsewhere":    {named(leaderEpochName), func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("3 33"), []byte("3 32")) }, Repairable, "leader epoch 3 begins"},
		"a leader epoch file of nonsense":   {named(leaderEpochName), func([]byte) []byte { return []byte("x") }, Repairable, "leader epoch checkpoint"},
		"a producer snapshot":               {named(fileName(34, producersSuffix)), flip(12), Repairable, "producer snapshot is damaged"},
		"the checkpoint of a later version": {named(checkpointName), laterVersion, Damage, "newer version"},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := inspected(t)
			logs := logFiles(t, fsys)
			file := c.file(logs)
			alter(t, fsys, file, c.change)
			summary, findings := verify(t, fsys)
			found := slices.ContainsFunc(findings, func(f Finding) bool {
				return f.Severity == c.severity && f.Remedy != "" && slices.ContainsFunc(strings.Split(c.problem, "|"), func(problem string) bool {
					return strings.Contains(f.Problem, problem)
				})
			})
			if !found {
				t.Errorf("no %s %q about %s in %+v", c.severity, c.problem, file, findings)
			}
			if c.severity == Repairable && summary.Damage > 0 {
				t.Errorf("damage: %+v", findings)
			}
			if len(findings) != summary.Damage+summary.Repairable+summary.Notes {
				t.Errorf("%d findings, %+v", len(findings), summary)
			}
			// What the verification takes for damage, the log must not open over; and the other way round.
			forgetCleanClose(t, fsys)
			_, _, err := Open(Options{FS: fsys, Dir: testDir, Config: testConfig(), NowMs: 1, VerifySealed: true})
			if (summary.Damage > 0) != (err != nil) {
				t.Errorf("damage %d, and opening says %v", summary.Damage, err)
			}
		})
	}
}

// forgetCleanClose makes the next open scan the batches.
func forgetCleanClose(t *testing.T, fsys disk.FS) {
	t.Helper()
	name := filepath.Join(testDir, checkpointName)
	data, err := disk.ReadFile(fsys, name)
	if err != nil {
		return
	}
	if c, err := decodeCheckpoint(data); err == nil {
		c.clean = false
		if err := disk.WriteAtomic(fsys, name, c.encode()); err != nil {
			t.Fatal(err)
		}
	}
}

func laterVersion(data []byte) []byte {
	data[5]++
	body := data[:len(data)-crcSize]
	return binary.BigEndian.AppendUint32(body, crc32.Checksum(body, castagnoli))
}

func TestFreshDirectoryIsSound(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	defer l.Close()
	if _, findings := verify(t, fsys); len(findings) != 0 {
		t.Errorf("opened: %+v", findings)
	}
	fill(t, l, 1)
	if _, findings := verify(t, fsys); len(findings) != 0 {
		t.Errorf("appended to, not synced: %+v", findings)
	}
}

func TestRecordsAfterAHoleAreFoundByTheIndex(t *testing.T) {
	fsys := inspected(t)
	logs := logFiles(t, fsys)
	sound, _ := verify(t, fsys)
	alter(t, fsys, logs[0], flip(16)) // the magic of the very first batch
	summary, findings := verify(t, fsys)
	if len(findings) != 1 || findings[0].Position != 0 || !strings.Contains(findings[0].Problem, "offsets [0, ") {
		t.Fatalf("%+v", findings)
	}
	if summary.LogEndOffset != sound.LogEndOffset || summary.Batches >= sound.Batches || summary.Batches < sound.Batches-5 {
		t.Errorf("%d batches of %d, log end %d of %d", summary.Batches, sound.Batches, summary.LogEndOffset, sound.LogEndOffset)
	}
}

func TestWhatABrokerIsWritingIsNoDamage(t *testing.T) {
	fsys := disk.NewMem()
	l, _ := mustOpen(t, testOptions(fsys))
	defer l.Close()
	fill(t, l, 20)
	mustSync(t, l)
	fill(t, l, 1)
	if summary, findings := verify(t, fsys); len(findings) != 0 || summary.LogEndOffset != 21 || summary.DurableOffset != 20 {
		t.Errorf("%+v, %+v", summary, findings)
	}
	logs := logFiles(t, fsys)
	for name, change := range map[string]func([]byte) []byte{
		"half a batch":            func(d []byte) []byte { return d[:len(d)-7] },
		"a batch with a hole":     func(d []byte) []byte { clear(d[len(d)-7:]); return d },
		"zeros beyond the batch":  func(d []byte) []byte { return append(d, make([]byte, 500)...) },
		"garbage after the batch": func(d []byte) []byte { return append(d, "garbage, forty bytes or so, after the end"...) },
	} {
		torn := disk.NewMem()
		copyDir(t, torn, fsys)
		alter(t, torn, logs[len(logs)-1], change)
		summary, findings := verify(t, torn)
		if summary.Damage != 0 || summary.Repairable != 0 || len(findings) != 1 || findings[0].Severity != Note {
			t.Errorf("%s: %+v", name, findings)
		}
	}
}

func copyDir(t *testing.T, to, from disk.FS) {
	t.Helper()
	if err := to.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	entries, err := from.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := filepath.Join(testDir, e.Name)
		data, err := disk.ReadFile(from, name)
		if err == nil {
			err = disk.WriteAtomic(to, name, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestALogInUseIsNeverTakenForDamaged verifies over and over while batches are appended, synced, rolled and deleted.
func TestALogInUseIsNeverTakenForDamaged(t *testing.T) {
	fsys := disk.NewMem()
	o := testOptions(fsys)
	o.Config.RetentionBytes = 3000
	l, _ := mustOpen(t, o)
	defer l.Close()
	fill(t, l, 1)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := int64(0); ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := l.Append(batchOf(t, n, nil, "while it is read"), AppendOptions{NowMs: n}); err != nil {
				done <- err
				return
			}
			if n%3 == 0 {
				if _, err := l.Sync(); err != nil {
					done <- err
					return
				}
			}
			if n%50 == 0 {
				if _, err := l.Retain(n, l.LogEndOffset()); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for range 300 {
		summary, findings, err := Verify(InspectOptions{FS: fsys, Dir: testDir})
		if err != nil || summary.Damage+summary.Repairable > 0 {
			t.Errorf("%v, %+v, %+v", err, summary, findings)
			break
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestGapsAreDamageUnlessCompacted(t *testing.T) {
	fsys := inspected(t)
	logs := logFiles(t, fsys)
	alter(t, fsys, logs[0], func(data []byte) []byte { // without its second batch
		first, rest, err := record.Next(data)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, err = record.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		return append(bytes.Clone(first), rest...)
	})
	base := strings.TrimSuffix(logs[0], logSuffix)
	alter(t, fsys, base+indexSuffix, func([]byte) []byte { return []byte{} })
	if summary, findings := verify(t, fsys); summary.Damage == 0 {
		t.Errorf("%+v", findings)
	}
	summary, findings, err := Verify(InspectOptions{FS: fsys, Dir: testDir, Compacted: true})
	if err != nil || summary.Damage != 0 {
		t.Errorf("%+v, %v", findings, err)
	}
}

func TestVisitorsErrorEndsTheInspection(t *testing.T) {
	fsys := inspected(t)
	enough := errors.New("enough")
	visited := 0
	_, err := Inspect(InspectOptions{FS: fsys, Dir: testDir}, Visitor{Batch: func(BatchInfo, record.Batch) error {
		visited++
		return enough
	}})
	if !errors.Is(err, enough) || visited != 1 {
		t.Errorf("%d batches, %v", visited, err)
	}
}

func TestInspectingWhatIsNoDirectoryIsAnError(t *testing.T) {
	fsys := inspected(t)
	for _, dir := range []string{"/nowhere", filepath.Join(testDir, checkpointName)} {
		if _, _, err := Verify(InspectOptions{FS: fsys, Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
